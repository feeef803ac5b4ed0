"""From the checkout to a deployed stack: what `sam build && sam deploy` does on AWS, for the emulator."""
