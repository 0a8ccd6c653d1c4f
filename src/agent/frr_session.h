#pragma once
/* One daemon of FRR, over its vty socket: it is given what is ours of its configuration, and given
 * it again when it has restarted or somebody has taken it away. What is there is read when it
 * comes, after each change, and every half minute. */

#include "agent/frr_config.h"
#include "net/loop.h"

struct frr_session;

struct frr_session_stats {
    bool is_up; /* it has answered, and has what it should but for what it refuses */
    uint64_t connects, losses, commands, refused, repairs;
};

struct frr_session_options {
    const char *directory; /* of the sockets. Borrowed */
    const char *daemon;    /* bgpd, bfdd: constant */
    /* It is there or has gone, or shows other things than before. */
    void (*on_change)(void *user);
    /* A command was refused: what it was (without a password) and what the daemon said. */
    void (*on_refused)(const char *command, const char *said, void *user);
    /* Trouble that is new. */
    void (*on_lost)(const char *why, void *user);
    void *user;
};

struct frr_session *frr_session_new(struct loop *l, const struct frr_session_options *o);
/* What was given stays with the daemon. NULL is allowed. */
void frr_session_free(struct frr_session *s);
/* Takes what the configuration holds; it is empty then. */
void frr_session_want(struct frr_session *s, struct frr_config *config);
/* What the daemon showed last; NULL: it is not there. */
const struct frr_config *frr_session_there(const struct frr_session *s);
/* All that was wanted is there, or refused; nothing is under way. */
bool frr_session_is_settled(const struct frr_session *s);
/* One command that only shows something, when nothing else is under way; false: not now. text is
 * borrowed; NULL: there was no answer. */
typedef void frr_answer_fn(const struct str *text, void *user);
bool frr_session_ask(struct frr_session *s, const char *command, frr_answer_fn *fn);
void frr_session_get_stats(const struct frr_session *s, struct frr_session_stats *ret);
