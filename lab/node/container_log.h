#pragma once
/* The output of one run of a container: two pipes (or a terminal) in, one file in the CRI line
 * format out, and who
 * follows it. */

#include "base/list.h"
#include "base/str.h"
#include "net/loop.h"

struct container_log;

struct container_log_follower {
    struct list_node node;
    void (*on_more)(void *user); /* bytes were added, or the run is over; may remove itself */
    void *user;
};

/* Gets the bytes themselves, as they are read. */
struct container_log_tap {
    struct list_node node;
    void (*on_bytes)(bool is_err, struct str bytes, void *user); /* must not remove itself */
    void *user;
};

/* Makes path anew. Takes out_fd and err_fd, the ends to read from, on success; -1: there is none.
 */
int container_log_new(struct loop *l, const char *path, int out_fd, int err_fd,
                      struct container_log **ret, struct err *reterr) NODISCARD;
/* Reads what is left in the pipes and closes them; the file stays. */
void container_log_finish(struct container_log *log);
void container_log_free(struct container_log *log);
bool container_log_is_finished(const struct container_log *log);
/* The last lines as the program wrote them, both streams, without zero bytes; owned. */
char *container_log_tail(const struct container_log *log, size_t lines_max, size_t bytes_max);
/* What a program wrote becomes a C string: its zero bytes become others that are no text either. */
void container_log_mask_zeros(char *p, size_t n);
const char *container_log_path(const struct container_log *log);
/* Times the file was begun anew because it reached its size: a follower then reads it from the
 * start. */
unsigned container_log_rotations(const struct container_log *log);
void container_log_tap(struct container_log *log, struct container_log_tap *t);
/* While anyone holds, the program's output is not read. */
void container_log_hold(struct container_log *log, bool hold);
void container_log_follow(struct container_log *log, struct container_log_follower *f);
