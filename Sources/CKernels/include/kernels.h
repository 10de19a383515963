// The hot loops of Riffle: plain pointers and sizes in, numbers out.
//
// float32 kernels are vectorised and threaded; their float64 forms are plain loops and serve as the oracle of the
// tests. Results do not depend on the number of threads: work is cut into pieces by size alone, and sums run in a
// fixed order. Unless a comment says otherwise outputs are written (not accumulated) and may not alias inputs.
#pragma once

#include "kernels/assignment.h"
#include "kernels/attention.h"
#include "kernels/cgroup.h"
#include "kernels/conv.h"
#include "kernels/cpu.h"
#include "kernels/distances.h"
#include "kernels/elementwise.h"
#include "kernels/half.h"
#include "kernels/lapack.h"
#include "kernels/linear.h"
#include "kernels/memory.h"
#include "kernels/norm.h"
#include "kernels/optim.h"
#include "kernels/pool.h"
#include "kernels/random.h"
#include "kernels/reduce.h"
#include "kernels/threads.h"
