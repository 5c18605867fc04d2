"""Programs outside Python that tests steer: how to start them, talk to them and end them."""
