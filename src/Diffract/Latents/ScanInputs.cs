using Diffract.Activations;
using Diffract.Compute.Kernels;
using Diffract.Crosscoders;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Latents;

/// <summary>What a pass of a crosscoder over a run's activations reads: the crosscoder, the activations of its layer and their tokens, checked against each other.</summary>
public sealed class ScanInputs : IDisposable
{
    ScanInputs(string name, Crosscoder crosscoder, StageManifest manifest, ActivationStore activations, TokenStore tokens, Dictionary<string, string> fingerprints)
        => (Name, Crosscoder, Manifest, Activations, Tokens, Fingerprints) = (name, crosscoder, manifest, activations, tokens, fingerprints);

    /// <summary>Folder name of the crosscoder.</summary>
    public string Name { get; }

    public Crosscoder Crosscoder { get; }

    /// <summary>The crosscoder's manifest.</summary>
    public StageManifest Manifest { get; }

    public ActivationStore Activations { get; }

    public TokenStore Tokens { get; }

    /// <summary>What a manifest records as its inputs: fingerprints of tokens, activations and crosscoder by folder.</summary>
    public Dictionary<string, string> Fingerprints { get; }

    /// <summary>Opens all three; refuses what is missing, stale, or of another width or number of models.</summary>
    /// <param name="run">The run.</param>
    /// <param name="name">Folder name of the crosscoder.</param>
    /// <param name="backend">Where the crosscoder lies.</param>
    /// <param name="memory">What the pass may take; null for no bound.</param>
    public static ScanInputs Open(RunFolder run, string name, IBackend backend, MemoryBudget? memory = null)
    {
        StageManifest manifest = Provenance.Require(run, run.Crosscoder(name), $"diffract train {run.Root} --name {name}");
        LayerPair layer = LayerOf(manifest, name);
        TokenStore tokens = TokenStore.Open(run);
        ActivationStore? activations = null;
        Crosscoder? crosscoder = null;
        try
        {
            activations = ActivationStore.Open(run, layer);
            if (memory is not null && (long?)manifest.Settings["latents"] is { } latents)
            {
                ScanMemory.Require(name, latents, activations.E, memory);
            }

            crosscoder = CrosscoderFolder.Load(run.Crosscoder(name), backend);
            if (crosscoder.Config.Sae)
            {
                DictionaryForm.Require(crosscoder, name, "the latent table");
            }

            CheckWidths(name, crosscoder.ModelOffsets, layer, activations.ModelOffsets);
            Dictionary<string, string> fingerprints = new()
            {
                [run.Relative(run.Tokens)] = tokens.Manifest.Fingerprint(),
                [run.Relative(run.Activations(layer))] = activations.Manifest.Fingerprint(),
                [run.Relative(run.Crosscoder(name))] = manifest.Fingerprint(),
            };
            return new ScanInputs(name, crosscoder, manifest, activations, tokens, fingerprints);
        }
        catch
        {
            crosscoder?.Dispose();
            activations?.Dispose();
            tokens.Dispose();
            throw;
        }
    }

    /// <summary>
    /// The crosscoder that a verb works on: the one named, else the only one (of the layer, when one is given), else <c>batchtopk</c>.
    /// </summary>
    public static string Choose(RunFolder run, string? name, LayerPair? layer)
    {
        IReadOnlyList<string> all = run.Names("crosscoders");
        if (name is not null)
        {
            if (layer is { } wanted && all.Contains(name) && LayerOf(StageManifest.TryLoad(run.Crosscoder(name))!, name) is LayerPair has && has != wanted)
            {
                throw DiffractException.Argument($"crosscoder {name} reads layer {has}, --layer says {wanted}; leave --layer out or choose another --name");
            }

            return name;
        }

        string[] fitting = [.. all.Where(n => layer is null || LayerOf(StageManifest.TryLoad(run.Crosscoder(n))!, n) == layer)];
        return fitting switch
        {
            [] => throw new DiffractException($"{run.Root} has no trained crosscoder{(layer is null ? "" : $" of layer {layer}")}; run `diffract train {run.Root}` first"),
            [string only] => only,
            _ when fitting.Contains("batchtopk") => "batchtopk",
            _ => throw DiffractException.Argument($"{run.Root} has the crosscoders {string.Join(", ", fitting)}; choose one with --name"),
        };
    }

    /// <summary>The documents of a split whose activations are stored, in the order of the store; refuses where there are none.</summary>
    public IReadOnlyList<TokenDocument> Documents(Split split)
    {
        TokenDocument[] documents = [.. Tokens.Documents.Where(d => d.Split == split && Activations.Holds(d))];
        return documents.Length > 0
            ? documents
            : throw new DiffractException($"no document is in the split {split}, out of {Tokens.Documents.Count}; wanted one at least: tokenise more text");
    }

    public void Dispose()
    {
        Crosscoder.Dispose();
        Activations.Dispose();
        Tokens.Dispose();
    }

    /// <summary>Refuses a crosscoder whose models are not those of the activations.</summary>
    public static void CheckWidths(string name, int[] crosscoder, LayerPair layer, int[] activations)
    {
        if (!crosscoder.AsSpan().SequenceEqual(activations))
        {
            throw new DiffractException($"crosscoder {name} reads models of width {Widths(crosscoder)}, the activations of layer {layer} have {Widths(activations)}; wanted the same");
        }

        static string Widths(int[] offsets) => string.Join(" and ", offsets.Skip(1).Zip(offsets, (end, begin) => end - begin));
    }

    /// <summary>The layer that a crosscoder's manifest names.</summary>
    public static LayerPair LayerOf(StageManifest manifest, string name)
        => LayerPair.Of(manifest.Settings["layer"]) ?? throw new DiffractException($"crosscoders/{name}/manifest.json does not say its layer; train or import the crosscoder again");
}
