"""What one actor serves to the outside: actions over HTTP and connect sockets. Used by every host."""
