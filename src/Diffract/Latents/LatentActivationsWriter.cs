using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Compute.Kernels;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Latents;

/// <summary>
/// Writes the sparse activations of scanned documents in both orders. Entries by token stream to disk as they come; entries by latent are sorted afterwards, as many latents at a
/// time as fit into <paramref name="sortBytes"/>, so memory stays bounded however many there are.
/// </summary>
/// <param name="folder">The stage folder; working files end in <c>.part</c>.</param>
/// <param name="latents">L.</param>
/// <param name="documents">The documents that will be added, stored token by stored token in this order.</param>
/// <param name="tokens">Says which tokens are stored; null: all.</param>
/// <param name="sortBytes">Memory for sorting.</param>
public sealed class LatentActivationsWriter(string folder, int latents, IReadOnlyList<TokenDocument> documents, TokenStore? tokens = null, long sortBytes = 256L << 20) : IDisposable
{
    readonly FileStream _latents = Part(folder, "by_token.latent");
    readonly FileStream _values = Part(folder, "by_token.value");
    readonly FileStream _sortedTokens = Part(folder, "by_latent.token");
    readonly FileStream _sortedValues = Part(folder, "by_latent.value");
    readonly long[] _tokenStart = new long[documents.Sum(d => (long)d.Rows) + 1];
    readonly byte[] _roles = new byte[documents.Sum(d => (long)d.Rows)];
    readonly long[] _latentStart = new long[latents + 1];
    int[] _batchLatents = [];
    float[] _batchValues = [];
    long _tokens;

    /// <summary>Entries so far.</summary>
    public long Entries => _tokenStart[_tokens];

    /// <summary>Adds the next tokens.</summary>
    /// <param name="code">Unscaled code.</param>
    /// <param name="scale_L">[1, L].</param>
    /// <param name="roles_B">Role flags of the tokens.</param>
    public unsafe void Add(SparseCode code, Matrix scale_L, ReadOnlySpan<byte> roles_B)
    {
        if (_batchLatents.Length < code.Pairs)
        {
            (_batchLatents, _batchValues) = (new int[code.Pairs], new float[code.Pairs]);
        }

        ReadOnlySpan<float> scale = scale_L.Row(0);
        int* start = code.TokenStart.Ints, latent = code.TokenLatent.Ints, pair = code.TokenPairs.Ints;
        float* value = code.PairValue.Floats;
        for (int i = 0; i < code.Pairs; i++)
        {
            _batchLatents[i] = latent[i];
            _batchValues[i] = value[pair[i]] * scale[latent[i]];
            _latentStart[latent[i] + 1]++;
        }

        _latents.Write(MemoryMarshal.AsBytes(_batchLatents.AsSpan(0, code.Pairs)));
        _values.Write(MemoryMarshal.AsBytes(_batchValues.AsSpan(0, code.Pairs)));
        long before = Entries;
        roles_B[..code.Tokens].CopyTo(_roles.AsSpan(checked((int)_tokens)));
        for (int b = 0; b < code.Tokens; b++)
        {
            _tokenStart[_tokens + b + 1] = before + start[b + 1];
        }

        _tokens += code.Tokens;
    }

    /// <summary>Sorts by latent and writes the file.</summary>
    /// <exception cref="InvalidOperationException">Not all tokens of the documents were added.</exception>
    public FileSeal Save(CancellationToken stop)
    {
        if (_tokens != _roles.Length)
        {
            throw new InvalidOperationException($"{_tokens} of {_roles.Length} tokens were added");
        }

        for (int j = 0; j < latents; j++)
        {
            _latentStart[j + 1] += _latentStart[j];
        }

        _latents.Flush();
        _values.Flush();
        for (int first = 0; first < latents;)
        {
            int end = first + 1;
            while (end < latents && (_latentStart[end + 1] - _latentStart[first]) * 8 <= sortBytes)
            {
                end++;
            }

            Sort(first, end, stop);
            first = end;
        }

        return Compose();
    }

    public void Dispose()
    {
        foreach (FileStream file in (ReadOnlySpan<FileStream>)[_latents, _values, _sortedTokens, _sortedValues])
        {
            file.Dispose();
            File.Delete(file.Name);
        }
    }

    /// <summary>One walk over the entries by token, keeping those of latents <paramref name="first"/> to <paramref name="end"/> - 1 in their places.</summary>
    void Sort(int first, int end, CancellationToken stop)
    {
        const int Chunk = 1 << 16;
        int[] tokens = new int[_latentStart[end] - _latentStart[first]], chunkLatents = new int[Chunk];
        float[] values = new float[tokens.Length], chunkValues = new float[Chunk];
        long[] next = _latentStart[first..end];
        _latents.Position = _values.Position = 0;
        long token = 0;
        for (long entry = 0; entry < Entries; entry += Chunk)
        {
            stop.ThrowIfCancellationRequested();
            int count = (int)Math.Min(Chunk, Entries - entry);
            _latents.ReadExactly(MemoryMarshal.AsBytes(chunkLatents.AsSpan(0, count)));
            _values.ReadExactly(MemoryMarshal.AsBytes(chunkValues.AsSpan(0, count)));
            for (int i = 0; i < count; i++)
            {
                while (_tokenStart[token + 1] <= entry + i)
                {
                    token++;
                }

                int latent = chunkLatents[i] - first;
                if ((uint)latent < (uint)next.Length)
                {
                    long at = next[latent]++ - _latentStart[first];
                    (tokens[at], values[at]) = ((int)token, chunkValues[i]);
                }
            }
        }

        _sortedTokens.Write(MemoryMarshal.AsBytes(tokens.AsSpan()));
        _sortedValues.Write(MemoryMarshal.AsBytes(values.AsSpan()));
    }

    FileSeal Compose()
    {
        long[] starts = new long[documents.Count + 1];
        for (int d = 0; d < documents.Count; d++)
        {
            starts[d + 1] = starts[d] + documents[d].Rows;
        }

        SafetensorsWriter writer = new();
        writer.Metadata["units"] = "scaled (f times code norm)";
        writer.Add("document.start", starts, starts.Length);
        AddLongs(writer, "by_token.start", _tokenStart);
        AddLongs(writer, "by_latent.start", _latentStart);
        writer.Add("document.number", documents.Select(d => d.Number).ToArray(), documents.Count);
        AddFile(writer, "by_token.latent", "I32", _latents);
        AddFile(writer, "by_token.value", "F32", _values);
        AddFile(writer, "by_latent.token", "I32", _sortedTokens);
        AddFile(writer, "by_latent.value", "F32", _sortedValues);
        writer.AddBytes("token.role", "U8", [_roles.Length], _roles.Length, s => s.Write(_roles));
        if (documents.Any(d => d.Kept is not null))
        {
            AddPositions(writer);
        }

        return writer.Save(Path.Combine(folder, LatentActivations.FileName));
    }

    void AddPositions(SafetensorsWriter writer)
        => writer.AddBytes(LatentActivations.Positions, "I32", [_roles.Length], (long)_roles.Length * sizeof(int), stream =>
        {
            foreach (TokenDocument document in documents)
            {
                stream.Write(MemoryMarshal.AsBytes((tokens ?? throw new InvalidOperationException("the documents have stored tokens that only their store knows")).Positions(document)));
            }
        });

    static void AddLongs(SafetensorsWriter writer, string name, long[] values)
        => writer.AddBytes(name, "I64", [values.Length], values.Length * 8L, stream =>
        {
            // In pieces: a span of bytes ends at 2 GiB.
            for (int i = 0; i < values.Length; i += 1 << 20)
            {
                stream.Write(MemoryMarshal.AsBytes(values.AsSpan(i, Math.Min(1 << 20, values.Length - i))));
            }
        });

    void AddFile(SafetensorsWriter writer, string name, string type, FileStream file)
        => writer.AddBytes(name, type, [Entries], Entries * 4, stream =>
        {
            file.Position = 0;
            file.CopyTo(stream, 1 << 20);
        });

    static FileStream Part(string folder, string name)
        => new(Path.Combine(folder, name + ".part"), FileMode.Create, FileAccess.ReadWrite, FileShare.None, 1 << 16);
}
