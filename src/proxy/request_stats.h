#pragma once
/* What is counted of a request at the client's side: once when it begins, once when it ends. */

#include "proxy/request_priv.h"

void request_count_begin(struct request *r);
/* Behind its last byte, or what happened instead. */
void request_count_end(struct request *r);
