"""The demo: the whole loop on real images, on one machine, told in one HTML page.

    python -m dataloop_demo [--data COCO_FOLDER] [--report DIR] [--port N] [--state DIR] [--keep]

`scenes` composes the images, `shots` and `coco` deal them into two rounds, `drive` does each step with the SDK,
`recording` gathers what the service and its jobs say of the run, `costs` prices what the meter counted, `report` draws it.
"""
