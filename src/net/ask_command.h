#pragma once
/* `PROGRAM request METHOD PATH`: asks what a program beside this one answers on loopback. Images
 * have no shell and no curl: this is what is run in a container instead. */

#include <stdint.h>

struct ask_command {
    const char *program; /* "fairlead-proxy" */
    const char *name;    /* "fairlead-proxy request" */
    const char *summary, *examples, *example_path;
    const char *what;  /* "the admin interface" */
    const char *where; /* a hint: what says where that is */
    const char *port_flag, *port_help;
    uint16_t port;
};

int ask_command(const struct ask_command *c, int argc, char **argv);
