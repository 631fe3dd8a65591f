/* libcuda.so.1 for libcuda.py, whose functions it hands out as long as Python runs. */

#include <stdint.h>

#define DEINITIALIZED 4
#define NOT_FOUND 500
#define SYMBOL_NOT_FOUND 1

typedef uint64_t A; /* an argument: none is a float, and a register holds whichever integer */
typedef int (*Function)(A, A, A, A, A, A, A, A, A, A, A);
typedef Function (*Find)(const char *symbol);

/* 1024 functions, from 0x000 to 0x3ff */
#define OF_16(M, n)                                                                               \
    M(n##0) M(n##1) M(n##2) M(n##3) M(n##4) M(n##5) M(n##6) M(n##7)                               \
    M(n##8) M(n##9) M(n##a) M(n##b) M(n##c) M(n##d) M(n##e) M(n##f)
#define OF_256(M, n)                                                                              \
    OF_16(M, n##0) OF_16(M, n##1) OF_16(M, n##2) OF_16(M, n##3)                                   \
    OF_16(M, n##4) OF_16(M, n##5) OF_16(M, n##6) OF_16(M, n##7)                                   \
    OF_16(M, n##8) OF_16(M, n##9) OF_16(M, n##a) OF_16(M, n##b)                                   \
    OF_16(M, n##c) OF_16(M, n##d) OF_16(M, n##e) OF_16(M, n##f)
#define EACH(M) OF_256(M, 0x0) OF_256(M, 0x1) OF_256(M, 0x2) OF_256(M, 0x3)
#define N_FUNCTIONS 0x400

static Find find;
static int is_closed, n_functions;
static Function functions[N_FUNCTIONS];

/* C++'s destructors call the driver when Python is gone. */
#define CALL(n)                                                                                   \
    static int call_##n(A a, A b, A c, A d, A e, A f, A g, A h, A i, A j, A k)                    \
    {                                                                                             \
        return is_closed ? DEINITIALIZED : functions[n](a, b, c, d, e, f, g, h, i, j, k);         \
    }
EACH(CALL)
#define NAME(n) call_##n,
static const Function calls[] = {EACH(NAME)};

void openDriver(Find function) { find = function; }
void closeDriver(void) { is_closed = 1; }

int cuGetProcAddress_v2(const char *symbol, void **function, int version, A flags, int *status)
{
    Function found = is_closed ? 0 : find(symbol);
    int i = 0;
    while (i < n_functions && functions[i] != found)
        i++;
    int is_found = found && i < N_FUNCTIONS;
    if (is_found && i == n_functions)
        functions[n_functions++] = found;
    *function = is_found ? (void *)calls[i] : 0;
    if (status)
        *status = is_found ? 0 : SYMBOL_NOT_FOUND;
    return is_found ? 0 : NOT_FOUND;
}

int cuGetProcAddress(const char *symbol, void **function, int version, A flags)
{
    return cuGetProcAddress_v2(symbol, function, version, flags, 0);
}
