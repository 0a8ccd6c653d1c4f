#pragma once
/* Intrusive doubly linked list. A head is a list_node that points at itself. */

#include <stdbool.h>

#include "base/mem.h"

struct list_node {
    struct list_node *prev;
    struct list_node *next;
};

static inline void list_init(struct list_node *head)
{
    head->prev = head->next = head;
}

static inline bool list_is_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline void list_add_before(struct list_node *at, struct list_node *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static inline void list_add_tail(struct list_node *head, struct list_node *node)
{
    list_add_before(head, node);
}

static inline void list_add_head(struct list_node *head, struct list_node *node)
{
    list_add_before(head->next, node);
}

/* Safe on a node that is in no list (zeroed or removed before). */
static inline void list_remove(struct list_node *node)
{
    if (!node->next)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = NULL;
}

static inline bool list_is_linked(const struct list_node *node)
{
    return node->next != NULL;
}

#define LIST_FOREACH(node, head)                                                                   \
    for (struct list_node *node = (head)->next; node != (head); node = node->next)

/* The current node may be removed. */
#define LIST_FOREACH_SAFE(node, head)                                                              \
    for (struct list_node *node = (head)->next, *node##_next = node->next; node != (head);         \
         node = node##_next, node##_next = node->next)
