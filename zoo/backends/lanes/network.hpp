// A network as a list of operations, and one pass of it: forward, loss, backward.
#pragma once
#include <cstdlib>
#include <memory>

#include "dropout.hpp"
#include "layers.hpp"

// Memory that begins where vectors may.
template <class V> struct Block64 {
  V *at = nullptr;
  size_t length = 0;
  Block64() = default;
  Block64(const Block64 &) = delete;
  ~Block64() { std::free(at); }
  void take(size_t values) {
    if (values <= length) return;
    std::free(at);
    at = (V *)std::aligned_alloc(64, values * sizeof(V));
    length = at ? values : 0;
    if (at) std::memset((void *)at, 0, values * sizeof(V));
  }
};

// How Python describes a map, which may be another view of an earlier one's memory.
struct DescribedMap {
  int64_t channels, height, width, border, memory_of;
};

// How Python describes an operation: what it is, the maps that it reads, writes and keeps beside them, whether
// anybody wants its input's slopes, and its own numbers.
enum What { CONVOLUTION, POOLING, DROPOUT, ACTIVATION };
struct Described {
  int64_t what, in, out, beside, slopes, numbers[5];
  double rate;
};

template <class T> std::unique_ptr<Operation<T>> activation(int64_t kind, int in, int out) {
  switch (kind) {
  case RELU: return std::make_unique<Activation<T, RELU>>(in, out);
  case TANH: return std::make_unique<Activation<T, TANH>>(in, out);
  case SIGMOID: return std::make_unique<Activation<T, SIGMOID>>(in, out);
  case SILU: return std::make_unique<Activation<T, SILU>>(in, out);
  default: return std::make_unique<Activation<T, GELU>>(in, out);
  }
}

template <class T> std::unique_ptr<Operation<T>> operation(const Described &d, const std::vector<Map> &maps) {
  const int64_t *n = d.numbers;
  const Map &from = maps[d.in], &to = maps[d.out];
  switch (d.what) {
  case CONVOLUTION: return std::make_unique<Convolution<T>>(d.in, d.out, from, to, n[0], n[1], n[2], n[3], n[4]);
  case POOLING: return std::make_unique<Pooling<T>>(d.in, d.out, d.beside, from, to, n[0]);
  case DROPOUT: return std::make_unique<Dropout<T>>(d.in, d.out, n[0], d.beside, d.rate);
  default: return activation<T>(n[0], d.in, d.out);
  }
}

template <class T> struct Network {
  typedef Vec<T> V;
  std::vector<Map> maps;
  std::vector<std::unique_ptr<Operation<T>>> operations;
  int64_t parameters;
  int chunk; // samples that go through at once, so that what they leave behind stays in the cache
  std::vector<int64_t> memory_of;
  Block64<V> memory, gradients, moved, labels;
  std::vector<V *> values, slopes;

  Network(const DescribedMap *given, int64_t count, const Described *described, int64_t length, int64_t parameters, int64_t chunk)
      : parameters(parameters), chunk(int(chunk)) {
    for (int64_t m = 0; m < count; m++) {
      const DescribedMap &g = given[m];
      maps.push_back({int(g.channels), int(g.height), int(g.width), int(g.border)});
      memory_of.push_back(g.memory_of);
    }
    for (int64_t o = 0; o < length; o++) {
      operations.push_back(operation<T>(described[o], maps));
      operations.back()->slopes = described[o].slopes;
    }
  }

  // Whether there is memory for a pass.
  bool ready() {
    size_t total = 0;
    for (size_t m = 0; m < maps.size(); m++)
      if (memory_of[m] == int64_t(m)) total += 2 * size_t(chunk) * maps[m].size();
    memory.take(total);
    labels.take(chunk);
    gradients.take(parameters);
    moved.take(parameters);
    if (!memory.at || !labels.at || !gradients.at || !moved.at) return false;
    values.clear();
    slopes.clear();
    V *next = memory.at;
    for (size_t m = 0; m < maps.size(); m++) {
      size_t length = size_t(chunk) * maps[m].size();
      bool own = memory_of[m] == int64_t(m);
      values.push_back(own ? next : values[memory_of[m]]);
      slopes.push_back(own ? next + length : slopes[memory_of[m]]);
      if (own) next += 2 * length;
    }
    return true;
  }

  void forward(Pass<T> &pass) {
    for (auto &operation : operations) operation->forward(pass);
  }

  void backward(Pass<T> &pass) {
    for (auto operation = operations.rbegin(); operation != operations.rend(); ++operation) (*operation)->backward(pass);
  }

  // Cross-entropy of a sample's logits, whether the largest one is right, and if wanted the slopes.
  void judge(const Pass<T> &pass, int sample, V label, T weight, Doubles &loss, Doubles &hits, bool slopes_too) {
    int last = int(maps.size()) - 1, classes = maps[last].channels;
    const V *logits = pass.value(last, sample);
    V *slope = pass.slope(last, sample), largest = logits[0], place{}, total{}, right{};
    for (int k = 1; k < classes; k++) {
      auto take = logits[k] > largest;
      largest = take ? logits[k] : largest;
      place = take ? V{} + T(k) : place;
    }
    for (int k = 0; k < classes; k++) {
      V power = exponential<T>(logits[k] - largest);
      slope[k] = power;
      total += power;
      right = label == T(k) ? logits[k] : right;
    }
    V entropy;
    for (int lane = 0; lane < LANES; lane++) entropy[lane] = std::log(total[lane]) + largest[lane] - right[lane];
    loss += __builtin_convertvector(entropy, Doubles);
    hits += __builtin_convertvector(place == label ? V{} + 1 : V{}, Doubles);
    if (!slopes_too) return;
    V share = weight / total;
    for (int k = 0; k < classes; k++) slope[k] = slope[k] * share - (label == T(k) ? V{} + weight : V{});
  }
};
