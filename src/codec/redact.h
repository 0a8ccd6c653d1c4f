#pragma once
/* What is secret in texts and JSON that leave the cluster: keys, tokens, passwords and their
 * hashes. Rather too much than too little: it stands between a cluster and a stranger's mailbox. */

#include "codec/json.h"

#define REDACTED "[redacted]"

/* The text without what looks like a secret, appended to ret: PEM private keys; values after
 * "authorization", "password", "token" and their like; what follows "Bearer" and "Basic"; JSON web
 * tokens; hashes of passwords; "user:password@" of URLs. Returns how many were left out. */
size_t redact_text(struct str text, struct buf *ret);

/* In place, by the names of members ("private_key", "inlineString" below it, "password"), of header
 * fields told by name and value, and the data of Secrets. Returns how many. Texts within are not
 * looked at: redact_text does that to what is printed. */
size_t redact_json(json_t *j);
