#pragma once
/* Passwords against hashes of htpasswd files. What is compared takes the same time wherever it
 * differs. Any thread. */

#include "codec/htpasswd.h"

enum { PASSWORD_MAX = 512, PASSWORD_KEY_BYTES = 32 };

/* Is it the password of a usable line's hash? Longer ones than PASSWORD_MAX never are. Takes up to
 * a quarter of a second where htpasswd_is_slow(). */
bool password_is_right(enum htpasswd_kind kind, struct str hash, struct str password);
/* Under which an outcome may be remembered: tells nothing of the password to who does not have
 * `secret`. */
void password_key(const unsigned char secret[PASSWORD_KEY_BYTES], struct str hash,
                  struct str password, unsigned char ret[PASSWORD_KEY_BYTES]);
