#pragma once
/* Certificates, keys and roots in files, by the names that Istio's agent serves them under:
 * "file-cert:CERTIFICATE~KEY", "file-root:ROOTS", of which "file-root:system" are those of the
 * operating system; and, which is our own, "file-root:ROOTS~CRL". Looked at again now and then.
 * Main thread.
 *
 * Failure modes: a file that is not there, or cannot be used, is logged and looked at again; what
 * it said before stays, and who waits for it speaks to nobody. */

#include "proxy/store.h"

struct file_secrets;

#define FILE_SECRETS_CERTIFICATE "file-cert:"
#define FILE_SECRETS_ROOTS       "file-root:"

struct file_secrets *file_secrets_new(struct loop *l, struct store *s);
void file_secrets_free(struct file_secrets *f); /* NULL is allowed */
/* Is it the name of one? */
bool file_secrets_has(struct str name);
/* Somebody wants it, or no more. */
void file_secrets_want(struct file_secrets *f, struct str name, bool wanted);
