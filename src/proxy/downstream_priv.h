#pragma once
/* What stands between a socket and its connections. */

#include "proxy/downstream.h"

/* A listener's on_accept; user: struct worker_listener. Takes the descriptor. */
void downstream_accept(int fd, void *user);
