// What every operation of a network works on: maps of some samples of sixteen members, and their gradients.
#pragma once
#include <cstring>

#include "product.hpp"

// A tensor of one sample: channels of maps, with a border of zeros that convolutions look into.
struct Map {
  int channels, height, width, border;
  int row() const { return width + 2 * border; }
  int plane() const { return (height + 2 * border) * row(); }
  int size() const { return channels * plane(); }
  int values() const { return channels * height * width; }
  int at(int channel, int y, int x) const { return channel * plane() + (y + border) * row() + x + border; }
};

// One pass of a group of sixteen members over some samples.
template <class T> struct Pass {
  typedef Vec<T> V;
  const Map *maps;
  V **values, **slopes;   // of each map: what it holds, and the loss's derivatives by that; sample after sample
  const V *weights;       // one after the other, in the order of the module's parameters
  V *gradients;           // like the weights
  int samples, first;     // how many samples, and which of the batch is the first
  bool training;
  const int64_t *const *keys; // of each dropout: sixteen numbers

  V *value(int map, int sample) const { return values[map] + int64_t(sample) * maps[map].size(); }
  V *slope(int map, int sample) const { return slopes[map] + int64_t(sample) * maps[map].size(); }
};

template <class T> struct Operation {
  typedef Vec<T> V;
  int in, out;
  bool slopes = true; // whether anybody wants the input's slopes
  Operation(int in, int out) : in(in), out(out) {}
  virtual ~Operation() = default;
  virtual void forward(const Pass<T> &pass) = 0;
  virtual void backward(const Pass<T> &pass) = 0;

  void clear(const Pass<T> &pass) const {
    std::memset(pass.slope(in, 0), 0, sizeof(V) * pass.samples * pass.maps[in].size());
  }
};

// Call f(offset in one map, offset in another) for each value of a sample, row by row.
template <class F> inline void each_value(const Map &a, const Map &b, F f) {
  for (int c = 0; c < a.channels; c++)
    for (int y = 0; y < a.height; y++) {
      int from = a.at(c, y, 0), to = b.at(c, y, 0);
      for (int x = 0; x < a.width; x++) f(from + x, to + x);
    }
}
