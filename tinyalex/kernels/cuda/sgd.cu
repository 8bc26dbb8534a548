// instantiate: sgd_update<T>
#include "common.cuh"

// v = momentum*v - decay*lr*w - lr*g,  then w = w + v (section 5), in one pass over memory. With
// nesterov,  w = w + momentum*v - decay*lr*w - lr*g.  One thread per weight.
template <typename T>
__global__ void sgd_update(T* __restrict__ w, T* __restrict__ velocity, const T* __restrict__ grad,
                           int n, Wide<T> lr, Wide<T> momentum, Wide<T> decay, bool nesterov) {
  int index = thread_index();
  if (index >= n) return;
  const Wide<T> old = Wide<T>(w[index]);
  const Wide<T> shrink = decay * lr * old, step = lr * Wide<T>(grad[index]);
  const Wide<T> v = momentum * Wide<T>(velocity[index]) - shrink - step;
  velocity[index] = T(v);
  w[index] = T(nesterov ? old + (momentum * v - shrink - step) : old + v);
}
