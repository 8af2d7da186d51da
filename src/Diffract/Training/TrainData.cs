using Diffract.Activations;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Training;

/// <summary>What the trainings of a run read: each layer is opened once, each order of it made once, so that members of a pass share both.</summary>
sealed class TrainData(RunFolder run, TokenStore tokens) : IDisposable
{
    readonly Dictionary<int, Layer> _layers = [];

    public TokenStore Tokens { get; } = tokens;

    public Layer Of(int layer)
    {
        if (!_layers.TryGetValue(layer, out Layer? there))
        {
            _layers[layer] = there = new Layer(ActivationStore.Open(run, layer), Tokens);
        }

        return there;
    }

    public void Dispose()
    {
        foreach (Layer layer in _layers.Values)
        {
            layer.Store.Dispose();
        }
    }

    /// <summary>The activations of a layer.</summary>
    public sealed class Layer(ActivationStore store, TokenStore tokens)
    {
        readonly Dictionary<int, ShuffledBatches> _sources = [];
        readonly Dictionary<long, HeldOutRows> _heldOut = [];

        public ActivationStore Store { get; } = store;

        /// <summary>Training batches in the order of a seed: the same tokens whatever the layer.</summary>
        public ShuffledBatches Source(int seed)
        {
            if (!_sources.TryGetValue(seed, out ShuffledBatches? there))
            {
                _sources[seed] = there = new ShuffledBatches(Store, tokens, seed);
            }

            return there;
        }

        /// <summary>A validation on so many held-out tokens.</summary>
        public Validation Validation(long most)
        {
            if (!_heldOut.TryGetValue(most, out HeldOutRows? there))
            {
                _heldOut[most] = there = new HeldOutRows(Store, tokens, most);
            }

            return new Validation(there, most);
        }
    }
}
