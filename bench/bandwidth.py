# SPDX-License-Identifier: AGPL-3.0-or-later
"""How fast this machine reads memory: the yardstick for decoding, which reads all weights once a
token.

    python bench/bandwidth.py [--threads 2]
"""

import argparse
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

BYTES = 1 << 30
ROUNDS = 5

PROGRAM = r"""
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static uint64_t *data; static size_t each; static volatile uint64_t sink;
static void *pass(void *n) {
    uint64_t *p = data + (size_t)n * each, sum[8] = {0};
    for (size_t i = 0; i < each; i += 8) for (int k = 0; k < 8; k++) sum[k] += p[i + k];
    for (int k = 0; k < 8; k++) sink += sum[k];
    return 0;
}
int main(int argc, char **argv) {
    size_t threads = atoi(argv[1]), bytes = atoll(argv[2]), rounds = atoi(argv[3]);
    each = bytes / 8 / threads / 8 * 8;
    data = aligned_alloc(64, bytes); memset(data, 1, bytes);
    double best = 1e9;
    for (size_t r = 0; r < rounds; r++) {
        struct timespec a, b; pthread_t t[64];
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (size_t n = 0; n < threads; n++) pthread_create(&t[n], 0, pass, (void *)n);
        for (size_t n = 0; n < threads; n++) pthread_join(t[n], 0);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double s = b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9;
        if (s < best) best = s;
    }
    printf("%f\n", each * 8.0 * threads / best / 1e9);
}
"""


def read_gb_per_s(threads: int) -> tuple[float, str]:
    """The best of some passes over 1 GiB, in GB/s (10⁹ bytes), and how it was measured."""
    if (compiler := shutil.which("cc")) is None:
        return _by_numpy(threads), "numpy"
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "read.c"), Path(folder, "read")
        source.write_text(PROGRAM)
        flags = ["-O3", "-march=native", "-pthread"]
        subprocess.run([compiler, *flags, str(source), "-o", str(program)], check=True)
        command = [str(program), str(threads), str(BYTES), str(ROUNDS)]
        said = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(said.stdout), "C"


def _by_numpy(threads: int) -> float:
    data = np.ones(BYTES // 8, np.uint64)
    parts = np.array_split(data, threads)
    best = float("inf")
    for _ in range(ROUNDS):
        workers = [threading.Thread(target=np.bitwise_or.reduce, args=(part,)) for part in parts]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        best = min(best, time.perf_counter() - began)
    return BYTES / best / 1e9


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    print("{:.1f} GB/s ({})".format(*read_gb_per_s(parser.parse_args().threads)))
