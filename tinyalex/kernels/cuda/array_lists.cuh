// Up to ARRAYS arrays in one argument, and their numbers of elements. The threads of a launch count
// through all elements of a list: `find` returns the array that element `index` of the list is in,
// and makes `index` its index in that array.
template <typename T> struct Arrays {
  T* of[ARRAYS];
  int size[ARRAYS];

  __device__ __forceinline__ int find(int& index) const {
    int array = 0;
    while (index >= size[array]) index -= size[array++];
    return array;
  }
};
