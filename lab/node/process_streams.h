#pragma once
/* Standard streams of a process we start: pipes or a terminal, and writing its input. */

#include "base/buf.h"
#include "base/err.h"
#include "net/loop.h"

struct process_streams {
    int process[3]; /* for the process; -1 = /dev/null */
    int in;         /* ours; of a terminal: its master side */
    int out[2];     /* ours, not blocking; of a terminal only the first */
};

/* All fds are -1 where there is nothing. */
void process_streams_init(struct process_streams *s);
int process_streams_open(struct process_streams *s, bool tty, bool input, struct err *reterr)
    NODISCARD;
/* Once the process has its own copies. */
void process_streams_close_process(struct process_streams *s);
void process_streams_done(struct process_streams *s);

/* Input on its way to a process that may be slow to read it. */
struct process_input;

/* Takes fd. on_room: the queue is below its limit again; may be NULL. */
struct process_input *process_input_new(struct loop *l, int fd, bool tty, void (*on_room)(void *),
                                        void *user);
void process_input_free(struct process_input *in);
/* False: the queue has reached its limit, hold back until on_room. */
bool process_input_write(struct process_input *in, struct str bytes);
/* No more: the pipe is closed once written out; a terminal gets its end-of-file character. */
void process_input_end(struct process_input *in);
void process_input_resize(struct process_input *in, unsigned columns, unsigned rows);
