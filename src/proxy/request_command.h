#pragma once
/* `fairlead-proxy request`: one request to the admin interface of the proxy beside it. So a person
 * with the right to exec into the pod reaches what stays on loopback; the image needs no other
 * program for that. */

/* argv[0] is "request". The answer's body goes to stdout; an exit code of docs/cli.md: 1 for an
 * answer other than 2xx, 69 where nothing listens. */
int proxy_request_command(int argc, char **argv);
