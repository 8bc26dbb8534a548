// instantiate: find_not_finite<T>
#include "common.cuh"
#include "array_lists.cuh"

// The state of a loss scale, in the GPU's memory so that no step waits for the host:
//
//     state[0]  the factor of the loss
//     state[1]  1 if a gradient of this step is infinite or NaN, else 0
//     state[2]  the number of steps in succession without such a gradient
//     state[3]  the number of steps with one, which were skipped

// state[1] = 1 if one of the n elements in all arrays is infinite or NaN. One thread per element.
template <typename T>
__global__ void find_not_finite(Arrays<const T> grads, float* __restrict__ state, int n) {
  int index = thread_index();
  if (index >= n) return;
  const int array = grads.find(index);
  const Wide<T> grad = Wide<T>(grads.of[array][index]);
  if (!(grad - grad == 0)) atomicExch(&state[1], 1.0f);  // the difference is NaN
}

// The end of a step: the factor is multiplied by `backoff` after a gradient that is not finite, and
// by `growth` after `interval` steps without one, if it stays a normal number. One thread.
extern "C" __global__ void update_loss_scale(float* __restrict__ state, float growth, float backoff,
                                             int interval) {
  if (thread_index() > 0) return;
  const bool found = state[1] != 0;
  const float steps = found ? 0 : state[2] + 1;
  const bool grows = steps >= interval;
  const float scale = state[0] * (found ? backoff : grows ? growth : 1.0f);
  if (scale >= 1.17549435e-38f && scale - scale == 0) state[0] = scale;
  state[1] = 0;
  state[2] = grows ? 0 : steps;
  state[3] += found;
}
