// What Python calls: steps and measurements of a population that lies in groups of sixteen members, innermost.
//
// A group goes through its whole step (all samples chunk by chunk, forward and backward, and the
// optimiser) before the next one begins, so that what it works on stays in the cache.
#include "network.hpp"

namespace {

enum Rule { SGD, ADAM, ADAMW };

struct Step {
  int64_t members, batch, sample_size, dropouts, rule;
  void *weights, *memory[2], *loss; // [groups, parameters, 16]; the loss is [members]
  const void *samples, *rate, *decay; // [n, sample_size]; [groups * 16]
  const int64_t *index, *labels, *const *keys; // [members, batch] each; of each dropout [groups * 16]
  double momentum, corrections[2];
  double *score;
  int64_t *cause; // [groups * 16]: 0 for members that are still trained
};

template <class T> void gather(const T *const *rows, const Map &map, Vec<T> *x) {
  int from = 0;
  for (int c = 0; c < map.channels; c++)
    for (int y = 0; y < map.height; y++) {
      T *to = (T *)(x + map.at(c, y, 0));
      for (int u = 0; u < map.width; u++, from++, to += LANES)
        for (int lane = 0; lane < LANES; lane++) to[lane] = rows[lane][from];
    }
}

template <class T> struct Group {
  typedef Vec<T> V;
  Network<T> &net;
  const Step &step;
  int64_t group;

  int64_t member(int lane) const { return std::min(group * LANES + lane, step.members - 1); }
  V *own(void *base) const { return (V *)base + group * net.parameters; }

  void load(const Pass<T> &pass, Vec<T> *labels) const {
    for (int s = 0; s < pass.samples; s++) {
      const T *rows[LANES];
      for (int lane = 0; lane < LANES; lane++) {
        int64_t place = member(lane) * step.batch + pass.first + s;
        rows[lane] = (const T *)step.samples + step.index[place] * step.sample_size;
        labels[s][lane] = T(step.labels[place]);
      }
      gather<T>(rows, net.maps[0], pass.value(0, s));
    }
  }

  void pass_over_batch(Doubles &loss, Doubles &hits) {
    std::memset((void *)net.gradients.at, 0, net.parameters * sizeof(V));
    std::vector<const int64_t *> keys;
    for (int64_t d = 0; d < step.dropouts; d++) keys.push_back(step.keys[d] + group * LANES);
    for (int64_t first = 0; first < step.batch; first += net.chunk) {
      int samples = int(std::min<int64_t>(net.chunk, step.batch - first));
      Pass<T> pass{net.maps.data(), net.values.data(), net.slopes.data(), own(step.weights), net.gradients.at,
                   samples, int(first), true, keys.data()};
      load(pass, net.labels.at);
      net.forward(pass);
      for (int s = 0; s < samples; s++) net.judge(pass, s, net.labels.at[s], T(1.0 / step.batch), loss, hits, true);
      net.backward(pass);
    }
  }

  V update(V w, V g, V *memory0, V *memory1, V rate, V decay) const {
    if (step.rule == SGD) {
      *memory0 = T(step.momentum) * *memory0 + (g + decay * w);
      return w - rate * *memory0;
    }
    if (step.rule == ADAM) {
      g = g + decay * w;
      decay = V{};
    }
    *memory0 = *memory0 + T(1 - 0.9) * (g - *memory0);
    *memory1 = T(0.999) * *memory1 + T(1 - 0.999) * g * g;
    V spread = square_root<T>(*memory1) / std::sqrt(T(step.corrections[1])) + T(1e-8);
    return (1 - rate * decay) * w - rate / T(step.corrections[0]) * *memory0 / spread;
  }

  void advance() {
    Doubles loss{}, hits{};
    pass_over_batch(loss, hits);
    V rate = *((const V *)step.rate + group), decay = *((const V *)step.decay + group), doubt{};
    V *weights = own(step.weights), *memory0 = own(step.memory[0]), *memory1 = step.memory[1] ? own(step.memory[1]) : memory0;
    for (int64_t p = 0; p < net.parameters; p++) {
      net.moved.at[p] = update(weights[p], net.gradients.at[p], memory0 + p, memory1 + p, rate, decay);
      doubt += net.moved.at[p] - net.moved.at[p]; // 0, or not a number
    }
    V moving = decide(loss / double(step.batch), hits, doubt);
    for (int64_t p = 0; p < net.parameters; p++) weights[p] = moving != 0 ? net.moved.at[p] : weights[p];
  }

  V decide(Doubles loss, Doubles hits, V doubt) const {
    V moving{};
    for (int lane = 0; lane < LANES; lane++) {
      int64_t &cause = step.cause[group * LANES + lane];
      if (cause == 0) cause = !std::isfinite(loss[lane]) ? 1 : doubt[lane] != 0 ? 2 : 0;
      moving[lane] = cause == 0;
      int64_t place = group * LANES + lane;
      if (place >= step.members) continue;
      ((T *)step.loss)[place] = T(loss[lane]);
      step.score[place] = hits[lane];
    }
    return moving;
  }
};

template <class T> int take_step(Network<T> &net, const Step &step) {
  if (!net.ready()) return 1;
  for (int64_t group = 0; group * LANES < step.members; group++) Group<T>{net, step, group}.advance();
  return 0;
}

struct Measurement {
  int64_t members, count, sample_size;
  const void *weights, *samples;
  const int64_t *labels;
  double *loss, *score; // summed, [members]
};

template <class T> int take_measure(Network<T> &net, const Measurement &m) {
  if (!net.ready()) return 1;
  for (int64_t group = 0; group * LANES < m.members; group++) {
    Doubles loss{}, hits{};
    for (int64_t first = 0; first < m.count; first += net.chunk) {
      int samples = int(std::min<int64_t>(net.chunk, m.count - first));
      Pass<T> pass{net.maps.data(), net.values.data(), net.slopes.data(), (const Vec<T> *)m.weights + group * net.parameters,
                   net.gradients.at, samples, int(first), false, nullptr};
      for (int s = 0; s < samples; s++) {
        const T *rows[LANES];
        for (auto &row : rows) row = (const T *)m.samples + (first + s) * m.sample_size;
        gather<T>(rows, net.maps[0], pass.value(0, s));
      }
      net.forward(pass);
      for (int s = 0; s < samples; s++)
        net.judge(pass, s, all<T>(double(m.labels[first + s])), T(0), loss, hits, false);
    }
    for (int lane = 0; lane < LANES && group * LANES + lane < m.members; lane++) {
      m.loss[group * LANES + lane] = loss[lane];
      m.score[group * LANES + lane] = hits[lane];
    }
  }
  return 0;
}

template <class T>
void *network(const DescribedMap *maps, int64_t count, const Described *operations, int64_t length, int64_t parameters, int64_t chunk) {
  return new Network<T>(maps, count, operations, length, parameters, chunk);
}

} // namespace

// `wide` is 1 for float64, 0 for float32. What gives an int gives 0, or 1 if there was no memory for it.
extern "C" {

void *lanes_network(int wide, const DescribedMap *maps, int64_t count, const Described *operations, int64_t length,
                    int64_t parameters, int64_t chunk) {
  return (wide ? network<double> : network<float>)(maps, count, operations, length, parameters, chunk);
}

void lanes_forget(int wide, void *network) {
  if (wide) delete (Network<double> *)network;
  else delete (Network<float> *)network;
}

int lanes_step(int wide, void *network, const Step *step) {
  return wide ? take_step(*(Network<double> *)network, *step) : take_step(*(Network<float> *)network, *step);
}

int lanes_measure(int wide, void *network, const Measurement *m) {
  return wide ? take_measure(*(Network<double> *)network, *m) : take_measure(*(Network<float> *)network, *m);
}
}
