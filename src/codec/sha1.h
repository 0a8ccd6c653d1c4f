#pragma once
/* SHA-1 (RFC 3174), for what still asks for it: WebSocket's handshake, htpasswd files. */

#include "base/str.h"

enum { SHA1_BYTES = 20 };

void sha1(struct str s, unsigned char ret[SHA1_BYTES]);
