#pragma once
/* fairlead-proxy interception: makes the rules of the pod's network namespace, and ends. */

int proxy_interception_command(int argc, char **argv);
