"""The calls of the client, one file a subject; AnkerAutoTrainSDK is made of them."""
