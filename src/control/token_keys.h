#pragma once
/* Key sets that RequestAuthentications name. */

#include "control/key_sets.h"
#include "model/request_authentication.h"

/* Those that are named now, and no others. */
void token_keys_use(struct key_sets *k, const struct selected_objects *tokens);
/* Each that names a source is told that it cannot be fetched. */
void token_keys_tell(const struct selected_objects *tokens, const char *source, const char *why,
                     void (*fn)(const struct finding *f, const char *uid, void *user), void *user);
