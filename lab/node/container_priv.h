#pragma once
/* Between the two halves of container: starting a process, and building its file system. */

#include "lab/node/container.h"

/* In the child: makes the container's file system and moves into it. */
int container_root_enter(const struct container_spec *s, struct err *reterr) NODISCARD;
