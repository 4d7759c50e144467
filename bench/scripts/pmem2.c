/*
 * Durable copies by PMDK's libpmem2, for `daxcow-bench file --beside`.
 *
 *     libpmem2 FILE SIZE OPERATIONS MILLISECONDS
 *
 * Maps FILE, copies SIZE bytes to random multiples of SIZE in it by pmem2_memcpy with its flags at 0 (libpmem2 chooses how to
 * store, flushes and drains), and prints the microseconds that one copy took.
 */
#include <fcntl.h>
#include <libpmem2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void check(int result, const char *what)
{
    if (result != 0) {
        fprintf(stderr, "%s: %s\n", what, pmem2_errormsg());
        exit(1);
    }
}

int main(int count, char **words)
{
    if (count != 5) {
        fprintf(stderr, "usage: libpmem2 FILE SIZE OPERATIONS MILLISECONDS\n");
        return 2;
    }
    size_t size = strtoull(words[2], NULL, 10);
    uint64_t most = strtoull(words[3], NULL, 10);
    double enough = strtod(words[4], NULL) / 1000;
    int file = open(words[1], O_RDWR);
    if (file < 0) {
        perror(words[1]);
        return 1;
    }
    struct pmem2_config *config;
    struct pmem2_source *source;
    struct pmem2_map *map;
    check(pmem2_config_new(&config), "config");
    check(pmem2_source_from_fd(&source, file), "source");
    check(pmem2_config_set_required_store_granularity(config, PMEM2_GRANULARITY_CACHE_LINE), "granularity");
    check(pmem2_map_new(&map, config, source), "map");
    pmem2_memcpy_fn copy = pmem2_get_memcpy_fn(map);
    char *memory = pmem2_map_get_address(map);
    size_t len = pmem2_map_get_size(map);
    char *from = malloc(size);
    if (from == NULL || size == 0 || size > len)
        return 2;
    memset(from, 0x5a, size);
    /* Every page is there before it is measured, as on the other sides. */
    for (size_t place = 0; place < len; place += 4096)
        *(volatile char *)(memory + place) = 1;

    uint64_t state = 1, done = 0, piece = 1;
    double start = seconds(), elapsed = 0;
    while (done < most && elapsed <= enough) {
        uint64_t until = done + piece < most ? done + piece : most;
        for (; done < until; done++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            copy(memory + (state >> 24) % (len / size) * size, from, size, 0);
        }
        double now = seconds() - start;
        if (now - elapsed < 0.0002)
            piece *= 2;
        elapsed = now;
    }
    printf("%.6f\n", elapsed * 1e6 / done);
    return 0;
}
