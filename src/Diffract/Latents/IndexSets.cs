using System.Text.Json;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Latents;

/// <summary>
/// The published sets of latents (spec 5.5), from <c>dec_norm_diff</c> alone: by tag; the n latents with the smallest norm difference; samples of the shared ones as pandas draws them. Equal norm differences are ordered by
/// latent, and a latent whose norms are both 0 belongs to none.
/// </summary>
public sealed class IndexSets
{
    /// <summary>Sets smaller than this say little: they are written with a warning.</summary>
    public const int Few = 20;

    readonly Dictionary<string, int[]> _sets = [];

    /// <param name="normDiff_L">[L]: 0 = chat-only.</param>
    /// <param name="lowest">Latents with the smallest norm difference, and in the sample that they are held against; -1: all that are tagged chat-only.</param>
    /// <param name="sample">Latents in the other sample of the shared ones.</param>
    /// <param name="seed">Of both samples.</param>
    public IndexSets(IReadOnlyList<double> normDiff_L, int lowest, int sample, uint seed)
    {
        int[] Of(LatentClass c) => [.. Enumerable.Range(0, normDiff_L.Count).Where(j => LatentClasses.Of(1 - normDiff_L[j]) == c)];
        int[] chatOnly = Of(LatentClass.ChatOnly), shared = Of(LatentClass.Shared);
        int[] order = [.. Enumerable.Range(0, normDiff_L.Count).Where(j => !double.IsNaN(normDiff_L[j])).OrderBy(j => normDiff_L[j])];
        int[] effective = lowest < 0 ? chatOnly : [.. order.Take(lowest)];
        _sets["chat_only_indices"] = chatOnly;
        _sets["base_only_indices"] = Of(LatentClass.BaseOnly);
        _sets["shared_indices"] = shared;
        _sets["shared_indices_sample"] = Sample(shared, sample, seed);
        _sets["low_norm_diff_indices_" + effective.Length] = effective;
        _sets["effective_chat_only_latents"] = effective;
        _sets["shared_baseline_latents"] = Sample(shared, effective.Length, seed);
    }

    /// <summary>Sets by their published names.</summary>
    public IReadOnlyDictionary<string, int[]> Sets => _sets;

    /// <summary>Writes each set as <c>NAME.json</c>, an array, and <c>NAME.pt</c>, an int64 tensor.</summary>
    public void Write(string folder, IProgressSink progress)
    {
        foreach ((string name, int[] set) in _sets)
        {
            AtomicFile.WriteText(Path.Combine(folder, name + ".json"), JsonSerializer.Serialize(set) + "\n");
            TorchWriter writer = new();
            writer.Add("", Array.ConvertAll(set, j => (long)j), set.Length);
            writer.SaveTensor(Path.Combine(folder, name + ".pt"));
            if (set.Length < Few)
            {
                progress.Warn($"{name} has {set.Length} latents, fewer than {Few}: too few to compare anything with");
            }
        }
    }

    /// <summary>pandas' <c>sample</c>; all of them, in the order of a permutation, where fewer are there.</summary>
    static int[] Sample(int[] from, int size, uint seed) => [.. new NumpyRandom(seed).Choice(from.Length, Math.Min(size, from.Length)).Select(i => from[i])];
}
