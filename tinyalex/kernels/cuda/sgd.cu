// instantiate: sgd_update<T>
#include "common.cuh"
#include "array_lists.cuh"

// v = momentum*v - decay*lr*w - lr*g,  then w = w + v (section 5), in one pass over memory. With
// nesterov,  w = w + momentum*v - decay*lr*w - lr*g.
//
// options (arrays, 4): lr, momentum, decay and nesterov of each array. scaling (2), if `is_scaled`:
// the factor of the loss, by which gradients are divided, and whether one of them is not finite: no
// update then (loss_scale.cu). One thread per weight of the n in all arrays.
template <typename T>
__global__ void sgd_update(Arrays<T> weights, Arrays<T> velocities, Arrays<const T> grads,
                           const Wide<T>* __restrict__ options,
                           const Wide<T>* __restrict__ scaling, int n, int is_scaled) {
  int index = thread_index();
  if (index >= n) return;
  if (is_scaled && scaling[1] != 0) return;
  const int array = weights.find(index);
  T *w = weights.of[array] + index, *velocity = velocities.of[array] + index;
  const Wide<T> old = Wide<T>(*w);
  const Wide<T> grad = Wide<T>(grads.of[array][index]) / (is_scaled ? scaling[0] : Wide<T>(1));
  options += 4 * array;
  const Wide<T> lr = options[0], momentum = options[1], decay = options[2], nesterov = options[3];

  const Wide<T> shrink = decay * lr * old, step = lr * grad;
  const Wide<T> v = momentum * Wide<T>(*velocity) - shrink - step;
  *velocity = T(v);
  *w = T(nesterov ? old + (momentum * v - shrink - step) : old + v);
}
