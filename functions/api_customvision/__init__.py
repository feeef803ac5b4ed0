"""The protocol of Azure Custom Vision, /customvision/{version}/training and /customvision/{version}/prediction."""
