"""How good predictions are: COCO average precision (hotcoco), accuracy, slices by attribute."""
