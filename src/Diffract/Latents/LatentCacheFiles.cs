using System.Runtime.InteropServices;
using Diffract.Formats;

namespace Diffract.Latents;

/// <summary>
/// Latent activations as the published tools cache them (spec 6.1): <c>out_acts.pt</c> F32 [N], <c>out_ids.pt</c> I64 [N, 3] = (sequence, position, place in latent_ids), <c>padded_sequences.pt</c> I64 [S, longest], <c>latent_ids.pt</c>,
/// <c>seq_ranges.pt</c> [S + 1], <c>seq_lengths.pt</c> [S], <c>max_activations.pt</c> F32. Entries come by sequence, position, latent.
/// </summary>
public sealed class LatentCacheFiles
{
    readonly int[] _latents;
    readonly Dictionary<int, int> _places;
    readonly List<float> _values = [];
    readonly List<long> _ids = [];
    readonly List<int[]> _sequences = [];
    readonly List<long> _ranges = [0];
    readonly float[] _max;

    /// <param name="latents">Which latents are kept, in the order of their places.</param>
    public LatentCacheFiles(IReadOnlyList<int> latents)
    {
        _latents = [.. latents];
        _places = _latents.Select((j, i) => (j, i)).ToDictionary(p => p.j, p => p.i);
        _max = new float[_latents.Length];
    }

    /// <summary>Kept entries.</summary>
    public int Entries => _values.Count;

    /// <summary>Adds a sequence with what is active in it, by position, then latent.</summary>
    public void Add(int[] tokens, IEnumerable<TokenEntry> entries)
    {
        foreach (TokenEntry e in entries)
        {
            if (e.Value > 0 && _places.TryGetValue(e.Latent, out int place))
            {
                _values.Add(e.Value);
                _ids.AddRange([_sequences.Count, e.Token, place]);
                _max[place] = Math.Max(_max[place], e.Value);
            }
        }

        _sequences.Add(tokens);
        _ranges.Add(_values.Count);
    }

    /// <param name="folder">Gets the seven files.</param>
    /// <param name="padId">Fills sequences up on the right.</param>
    public void Write(string folder, int padId)
    {
        int longest = _sequences.Select(s => s.Length).DefaultIfEmpty().Max();
        Save("out_acts", w => w.Add("", _values.ToArray(), _values.Count));
        Save("out_ids", w => w.Add("", _ids.ToArray(), _values.Count, 3));
        Save("padded_sequences", w => w.AddBytes("", "I64", [_sequences.Count, longest], 8L * _sequences.Count * longest, stream =>
        {
            long[] row = new long[longest];
            foreach (int[] sequence in _sequences)
            {
                Array.Fill(row, padId);
                for (int t = 0; t < sequence.Length; t++)
                {
                    row[t] = sequence[t];
                }

                stream.Write(MemoryMarshal.AsBytes(row.AsSpan()));
            }
        }));
        Save("latent_ids", w => w.Add("", Array.ConvertAll(_latents, j => (long)j), _latents.Length));
        Save("seq_ranges", w => w.Add("", _ranges.ToArray(), _ranges.Count));
        Save("seq_lengths", w => w.Add("", _sequences.Select(s => (long)s.Length).ToArray(), _sequences.Count));
        Save("max_activations", w => w.Add("", _max, _max.Length));

        void Save(string name, Action<TensorList> add)
        {
            TorchWriter writer = new();
            add(writer);
            writer.SaveTensor(Path.Combine(folder, name + ".pt"));
        }
    }
}
