#pragma once
/* What a daemon of FRR answers on its vty socket, the one that vtysh speaks to: to each command,
 * which ends in a NUL, the text it prints, three NULs, and how the command has ended. */

#include <stdint.h>

#include "base/str.h"

enum vty_status {
    VTY_OK = 0,
    VTY_WARNING = 1,
    VTY_NO_MATCH = 2, /* no such command */
};

struct vty_reply {
    struct str text; /* borrowed from what was parsed */
    uint8_t status;  /* 0: done */
    size_t bytes;    /* of the reply, with its end */
};

/* 0: not whole yet; 1: *ret is set. -EBADMSG: this is no vty. */
int vty_reply_parse(struct str in, struct vty_reply *ret) NODISCARD;

/* May it stand in a command: printable ASCII only, so that nothing in it ends the command? Words
 * have no blanks. */
bool vty_is_word(struct str s);
