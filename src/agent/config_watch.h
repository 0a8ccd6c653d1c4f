#pragma once
/* Notices that the configuration file was written to or moved: kube-proxy ends then, to be started
 * again with what it says now. */

#include "net/loop.h"

struct config_watch;

int config_watch_new(struct loop *l, const char *path, void (*on_change)(void *user), void *user,
                     struct config_watch **ret, struct err *reterr) NODISCARD;
void config_watch_free(struct config_watch *w); /* NULL is allowed */
