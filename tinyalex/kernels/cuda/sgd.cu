// instantiate: sgd_update<T>
#include "common.cuh"
#include "array_lists.cuh"

// v = momentum*v - decay*lr*w - lr*g,  then w = w + v (section 5), in one pass over memory. With
// nesterov,  w = w + momentum*v - decay*lr*w - lr*g.
//
// options (arrays, 4): lr, momentum, decay and nesterov of each array. One thread per weight of the
// n in all arrays.
template <typename T>
__global__ void sgd_update(Arrays<T> weights, Arrays<T> velocities, Arrays<const T> grads,
                           const Wide<T>* __restrict__ options, int n) {
  int index = thread_index();
  if (index >= n) return;
  const int array = weights.find(index);
  T *w = weights.of[array] + index, *velocity = velocities.of[array] + index;
  const Wide<T> grad = Wide<T>(grads.of[array][index]), old = Wide<T>(*w);
  options += 4 * array;
  const Wide<T> lr = options[0], momentum = options[1], decay = options[2], nesterov = options[3];

  const Wide<T> shrink = decay * lr * old, step = lr * grad;
  const Wide<T> v = momentum * Wide<T>(*velocity) - shrink - step;
  *velocity = T(v);
  *w = T(nesterov ? old + (momentum * v - shrink - step) : old + v);
}
