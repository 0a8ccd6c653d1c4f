#pragma once
/* Passwords whose hashes take long are checked on a thread of their own, one after another, so that
 * no worker waits. Outcomes are remembered, right ones and wrong ones apart: a client that sends
 * its password with each request has it checked once. One for the process; it begins with the first
 * question. */

#include "codec/htpasswd.h"
#include "net/loop.h"

enum {
    PASSWORD_WAITING_MAX = 256, /* questions; more are not taken */
    PASSWORD_KNOWN_MAX = 4096,  /* outcomes remembered, of either kind; a power of two */
};

enum password_answer {
    PASSWORD_WRONG,
    PASSWORD_RIGHT,
    PASSWORD_LATER, /* on_answer is called, unless it is cancelled */
    PASSWORD_BUSY,  /* too many wait already */
};

struct password_question;

/* hash and password are copied. on_answer runs at the loop l, whose thread asks. ret: set with
 * PASSWORD_LATER. */
enum password_answer password_ask(struct loop *l, enum htpasswd_kind kind, struct str hash,
                                  struct str password, void (*on_answer)(bool right, void *user),
                                  void *user, struct password_question **ret);
/* From the loop's thread, before it is answered. NULL is allowed. */
void password_cancel(struct password_question *q);
/* Ends the thread, when no loop runs any more; what waits is forgotten. */
void password_pool_stop(void);
