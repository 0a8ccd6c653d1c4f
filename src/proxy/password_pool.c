/* The queue and what is known are behind one mutex; nothing is computed under it. */
#include "proxy/password_pool.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/list.h"
#include "base/rand.h"
#include "net/password.h"

struct password_question {
    struct list_node node;
    struct loop *loop;
    void (*on_answer)(bool right, void *user); /* NULL: cancelled; the loop's thread alone */
    void *user;
    enum htpasswd_kind kind;
    unsigned char key[PASSWORD_KEY_BYTES];
    size_t hash_n, password_n;
    bool right;
    char text[]; /* hash, password */
};

static struct {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t more;
    bool running, stopping;
    pthread_t thread;
    struct list_node waiting;
    size_t n_waiting;
    unsigned char secret[PASSWORD_KEY_BYTES];
    unsigned char (*known)[PASSWORD_KNOWN_MAX][PASSWORD_KEY_BYTES]; /* [right][…] */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};

/* ---- what is known ---- */

static unsigned char *place(bool right, const unsigned char key[PASSWORD_KEY_BYTES])
{
    return pool.known[right][(key[0] | key[1] << 8) & (PASSWORD_KNOWN_MAX - 1)];
}

static bool is_known(bool right, const unsigned char key[PASSWORD_KEY_BYTES])
{
    return memcmp(place(right, key), key, PASSWORD_KEY_BYTES) == 0;
}

/* ---- the thread ---- */

static void question_free(struct password_question *q)
{
    explicit_bzero(q->text, q->hash_n + q->password_n);
    free(q);
}

static void answered(void *user)
{
    struct password_question *q = user;
    if (q->on_answer)
        q->on_answer(q->right, q->user);
    question_free(q);
}

static void *check_all(void *user)
{
    (void)user;
    pthread_mutex_lock(&pool.lock);
    while (!pool.stopping) {
        if (list_is_empty(&pool.waiting)) {
            pthread_cond_wait(&pool.more, &pool.lock);
            continue;
        }
        struct password_question *q =
            CONTAINER_OF(pool.waiting.next, struct password_question, node);
        list_remove(&q->node);
        pool.n_waiting--;
        q->right = is_known(true, q->key); /* by one that was asked before it */
        bool wrong = is_known(false, q->key);
        pthread_mutex_unlock(&pool.lock);
        if (!q->right && !wrong)
            q->right = password_is_right(q->kind, str_of(q->text, q->hash_n),
                                         str_of(q->text + q->hash_n, q->password_n));
        pthread_mutex_lock(&pool.lock);
        memcpy(place(q->right, q->key), q->key, PASSWORD_KEY_BYTES);
        loop_post(q->loop, answered, q);
    }
    pthread_mutex_unlock(&pool.lock);
    return NULL;
}

/* Under the lock. False: there is no thread to be had. */
static bool start(void)
{
    sigset_t all, before;
    if (pool.running)
        return true;
    list_init(&pool.waiting);
    rand_bytes(pool.secret, sizeof(pool.secret));
    pool.known = xcalloc(2, sizeof(*pool.known));
    pool.stopping = false;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pool.running = pthread_create(&pool.thread, NULL, check_all, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!pool.running)
        free(TAKE(pool.known));
    return pool.running;
}

void password_pool_stop(void)
{
    pthread_mutex_lock(&pool.lock);
    bool was = pool.running;
    pool.stopping = true;
    pool.running = false;
    pthread_cond_signal(&pool.more);
    pthread_mutex_unlock(&pool.lock);
    if (!was)
        return;
    pthread_join(pool.thread, NULL);
    while (!list_is_empty(&pool.waiting)) {
        struct password_question *q =
            CONTAINER_OF(pool.waiting.next, struct password_question, node);
        list_remove(&q->node);
        question_free(q);
    }
    pool.n_waiting = 0;
    free(TAKE(pool.known));
}

/* ---- who asks ---- */

static struct password_question *question_new(struct str hash, struct str password)
{
    struct password_question *q = xcalloc(1, sizeof(*q) + hash.n + password.n);
    q->hash_n = hash.n;
    q->password_n = password.n;
    memcpy(q->text, hash.p, hash.n);
    memcpy(q->text + hash.n, password.p, password.n);
    return q;
}

enum password_answer password_ask(struct loop *l, enum htpasswd_kind kind, struct str hash,
                                  struct str password, void (*on_answer)(bool right, void *user),
                                  void *user, struct password_question **ret)
{
    enum password_answer answer = PASSWORD_LATER;
    if (password.n > PASSWORD_MAX)
        return PASSWORD_WRONG;
    if (!htpasswd_is_slow(kind))
        return password_is_right(kind, hash, password) ? PASSWORD_RIGHT : PASSWORD_WRONG;
    struct password_question *q = question_new(hash, password);
    pthread_mutex_lock(&pool.lock);
    if (!start()) {
        answer = PASSWORD_BUSY;
    } else {
        password_key(pool.secret, hash, password, q->key);
        if (is_known(true, q->key))
            answer = PASSWORD_RIGHT;
        else if (is_known(false, q->key))
            answer = PASSWORD_WRONG;
        else if (pool.n_waiting >= PASSWORD_WAITING_MAX)
            answer = PASSWORD_BUSY;
    }
    if (answer == PASSWORD_LATER) {
        q->loop = l;
        q->on_answer = on_answer;
        q->user = user;
        q->kind = kind;
        list_add_tail(&pool.waiting, &q->node);
        pool.n_waiting++;
        *ret = q;
        pthread_cond_signal(&pool.more);
    }
    pthread_mutex_unlock(&pool.lock);
    if (answer != PASSWORD_LATER)
        question_free(q);
    return answer;
}

void password_cancel(struct password_question *q)
{
    if (q)
        q->on_answer = NULL;
}
