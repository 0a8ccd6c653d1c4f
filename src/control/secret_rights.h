#pragma once
/* Which service accounts of proxies may have the private keys of Secrets of their namespace: those
 * that may list Secrets there, as the API server says (SubjectAccessReview), as with Istio. Asked
 * when the first key is to go, and again: after five minutes where it was yes, after one where it
 * was no. While the API server does not answer, what was so stays so, and who is not known has
 * none.
 *
 * Bounded by the streams there are: an account is forgotten with the last of them. 16 are asked at
 * a time. */

#include "kube/client.h"
#include "xds/xds_stream.h"

struct secret_rights;

/* on_change: of an account it is another answer now. */
struct secret_rights *secret_rights_new(struct kube_client *c,
                                        void (*on_change)(const char *account, void *user),
                                        void *user);
void secret_rights_free(struct secret_rights *r); /* NULL is allowed */
/* Streams of "system:serviceaccount:NAMESPACE:NAME" begin and end. */
void secret_rights_use(struct secret_rights *r, const char *account);
void secret_rights_end_use(struct secret_rights *r, const char *account);
/* It is asked about from now on. */
enum xds_may secret_rights_may(struct secret_rights *r, const char *account);
/* It has been told that it may not. */
bool secret_rights_refused(const struct secret_rights *r, const char *account);
