#pragma once
/* A lab's directory on disk: certificates, kubeconfigs, the store, logs, and the record of how the
 * lab was made. Only root can read it. Everything in it goes with `lab down`. */

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"

struct state_dir {
    char *path; /* $FAIRLEAD_STATE_DIR or /var/lib/fairlead, then /labs/NAME */
    int lock_fd;
};

#define STATE_DIR_DEFAULT "/var/lib/fairlead/labs"

/* STATE_DIR_DEFAULT, or "labs" under $FAIRLEAD_STATE_DIR; borrowed. */
const char *state_dir_root(void);
void state_dir_of(const char *lab, struct state_dir *ret);
void state_dir_done(struct state_dir *d);

/* Makes the directory (0700) and its parts if they are missing. */
int state_dir_make(struct state_dir *d, struct err *reterr) NODISCARD;
bool state_dir_exists(const struct state_dir *d);
/* Takes the lock that a running supervisor holds; -EBUSY: someone has it, whose pid is in
 * *ret_holder (0 = unknown). */
int state_dir_lock(struct state_dir *d, int *ret_holder, struct err *reterr) NODISCARD;
/* Removes the directory and everything in it. Never follows symbolic links nor crosses mounts. */
int state_dir_remove(struct state_dir *d, struct err *reterr) NODISCARD;

/* PATH inside the directory; owned. */
char *state_dir_file(const struct state_dir *d, const char *name);
int state_dir_write(const struct state_dir *d, const char *name, struct str text,
                    struct err *reterr) NODISCARD;
/* -ENOENT if it is not there. Appends to ret. */
int state_dir_read(const struct state_dir *d, const char *name, struct buf *ret, struct err *reterr)
    NODISCARD;
