#pragma once
/* The output of one run of a container: two pipes in, one file in the CRI line format out, and who
 * follows it. */

#include "base/list.h"
#include "net/loop.h"

struct container_log;

struct container_log_follower {
    struct list_node node;
    void (*on_more)(void *user); /* bytes were added, or the run is over; may remove itself */
    void *user;
};

/* Makes path anew. ret_out and ret_err are for the process; close them after it was started. */
int container_log_new(struct loop *l, const char *path, int *ret_out, int *ret_err,
                      struct container_log **ret, struct err *reterr) NODISCARD;
/* Reads what is left in the pipes and closes them; the file stays. */
void container_log_finish(struct container_log *log);
void container_log_free(struct container_log *log);
bool container_log_is_finished(const struct container_log *log);
/* The last lines as the program wrote them, both streams; owned. */
char *container_log_tail(const struct container_log *log, size_t lines_max, size_t bytes_max);
const char *container_log_path(const struct container_log *log);
/* Times the file was begun anew because it reached its size: a follower then reads it from the
 * start. */
unsigned container_log_rotations(const struct container_log *log);
void container_log_follow(struct container_log *log, struct container_log_follower *f);
