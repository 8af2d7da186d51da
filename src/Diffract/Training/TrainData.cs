using Diffract.Activations;
using Diffract.Compute.Buffers;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Training;

/// <summary>What the trainings of a run read: each layer is opened once, each order of it made once, so that members of a pass share both.</summary>
sealed class TrainData(RunFolder run, TokenStore tokens) : IDisposable
{
    readonly Dictionary<LayerPair, Layer> _layers = [];

    /// <summary>Where training batches are made on the way; null where they are read from the store.</summary>
    public LiveActivations? Stream { get; set; }

    public TokenStore Tokens { get; } = tokens;

    public Layer Of(LayerPair layer)
    {
        if (!_layers.TryGetValue(layer, out Layer? there))
        {
            _layers[layer] = there = new Layer(this, ActivationStore.Open(run, layer), Tokens);
        }

        return there;
    }

    public void Dispose()
    {
        Stream?.Dispose();
        foreach (Layer layer in _layers.Values)
        {
            layer.Store.Dispose();
        }
    }

    /// <summary>The activations of a layer.</summary>
    public sealed class Layer(TrainData data, ActivationStore store, TokenStore tokens)
    {
        readonly Dictionary<(int Seed, SaeTarget? Target, int Window), IBatchSource> _sources = [];
        readonly Dictionary<(long Most, SaeTarget? Target), IBatchSource> _heldOut = [];
        readonly Dictionary<(IBatchSource Source, double Rms), ActivationNorm> _norms = [];

        public ActivationStore Store { get; } = store;

        /// <summary>Training batches in the order of a seed: the same tokens whatever the layer. For an SAE its target, of the text that it is taken from.</summary>
        public IBatchSource Source(int seed, SaeTarget? target, int window)
        {
            if (!_sources.TryGetValue((seed, target, window), out IBatchSource? there))
            {
                OrderedBatches pairs = data.Stream is { } stream
                    ? stream.Batches(Store.Layer)
                    : new ShuffledBatches(Store, tokens, seed, only: target is { } of ? SaeTargets.Text(of) : null, window: window);
                _sources[(seed, target, window)] = there = target is { } taken ? new TargetBatches(pairs, taken) : pairs;
            }

            return there;
        }

        /// <summary>A validation on so many held-out tokens.</summary>
        public Validation Validation(long most, SaeTarget? target)
        {
            if (!_heldOut.TryGetValue((most, target), out IBatchSource? there))
            {
                HeldOutRows pairs = new(Store, tokens, most, target is { } of ? SaeTargets.Text(of) : null);
                _heldOut[(most, target)] = there = target is { } taken ? new TargetBatches(pairs, taken) : pairs;
            }

            return new Validation(there, most);
        }

        /// <summary>The normalisation of a source, estimated once for all that share it.</summary>
        public ActivationNorm Norm(IBatchSource source, Matrix acts_BE, double targetRms, CancellationToken stop)
        {
            if (!_norms.TryGetValue((source, targetRms), out ActivationNorm? there))
            {
                _norms[(source, targetRms)] = there = NormEstimate.Of(source, NormEstimate.Tokens, acts_BE, targetRms, stop);
            }

            return there;
        }
    }
}
