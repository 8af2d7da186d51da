using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Diffract.Compute.Buffers;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Latents;

/// <summary>
/// The sparse activations of the held-out documents, memory-mapped: what is active in a document, and where a latent is active. Values are scaled, f·s. Documents are numbered as in the
/// token store and come in ascending order.
/// </summary>
public sealed unsafe class LatentActivations : IDisposable
{
    /// <summary>In the stage folder.</summary>
    public const string FileName = "activations.safetensors";

    /// <summary>The tensor that says at which position of its document each token stands; absent where every token was scanned.</summary>
    internal const string Positions = "token.position";

    readonly SafetensorsFile _file;
    readonly int[] _numbers;
    readonly Dictionary<int, int> _indexOf = [];
    readonly long[] _documentStart;
    readonly HostBuffer _tokenLatent;
    readonly HostBuffer _tokenValue;
    readonly HostBuffer _latentToken;
    readonly HostBuffer _latentValue;
    readonly long* _tokenStart;
    readonly long* _latentStart;
    readonly byte* _roles;
    readonly int* _positions;

    LatentActivations(string path)
    {
        _file = SafetensorsFile.Open(path);
        _numbers = [.. _file.Integers("document.number").Select(n => (int)n)];
        _documentStart = _file.Integers("document.start", _numbers.Length + 1);
        _tokenLatent = _file.View("by_token.latent");
        _tokenValue = _file.View("by_token.value");
        _latentToken = _file.View("by_latent.token");
        _latentValue = _file.View("by_latent.value");
        for (int d = 0; d < _numbers.Length; d++)
        {
            _indexOf[_numbers[d]] = d;
        }

        ReadOnlySpan<long> tokenStart = MemoryMarshal.Cast<byte, long>(_file.Bytes("by_token.start"));
        ReadOnlySpan<long> latentStart = MemoryMarshal.Cast<byte, long>(_file.Bytes("by_latent.start"));
        ReadOnlySpan<byte> roles = _file.Bytes("token.role");
        Latents = latentStart.Length - 1;
        ReadOnlySpan<int> positions = _file.Tensors.ContainsKey(Positions) ? MemoryMarshal.Cast<byte, int>(_file.Bytes(Positions)) : [];
        if ((positions.Length != 0 && positions.Length != Tokens) || tokenStart.Length != Tokens + 1 || roles.Length != Tokens || tokenStart[^1] != Entries || latentStart[^1] != Entries || _latentToken.Length != Entries)
        {
            _file.Dispose();
            throw new DiffractException($"{path} does not fit together: changed or damaged; run `diffract latents --fresh`");
        }

        // Mapped memory does not move.
        _tokenStart = (long*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(tokenStart));
        _latentStart = (long*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(latentStart));
        _roles = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(roles));
        _positions = positions.Length == 0 ? null : (int*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(positions));
    }

    /// <summary>The scanned documents' numbers, ascending.</summary>
    public IReadOnlyList<int> DocumentNumbers => _numbers;

    /// <summary>Scanned tokens.</summary>
    public long Tokens => _documentStart[^1];

    /// <summary>L.</summary>
    public int Latents { get; }

    /// <summary>Active (token, latent) pairs.</summary>
    public long Entries => _tokenLatent.Length;

    /// <summary>Those of a finished latents stage; missing, stale or damaged ones are refused.</summary>
    public static LatentActivations Open(RunFolder run, string name)
    {
        LatentTable.Require(run, name);
        return new LatentActivations(Path.Combine(run.Latents(name), FileName));
    }

    /// <summary>A file by its path, whatever made it.</summary>
    public static LatentActivations OpenFile(string path) => new(path);

    /// <summary>True when the document was scanned.</summary>
    public bool Holds(int documentNumber) => _indexOf.ContainsKey(documentNumber);

    /// <summary>Number of tokens on which a latent is active.</summary>
    public long Count(int latent)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)latent, (uint)Latents);
        return _latentStart[latent + 1] - _latentStart[latent];
    }

    /// <summary>The values of a latent's activations, in the order of <see cref="OfLatent"/>.</summary>
    public ReadOnlySpan<float> Values(int latent) => new(_latentValue.Floats + FirstOf(latent), checked((int)Count(latent)));

    /// <summary>Where a latent is active, by document, then token.</summary>
    public IEnumerable<LatentEntry> OfLatent(int latent)
    {
        long first = FirstOf(latent), end = first + Count(latent);
        int document = 0;
        for (long i = first; i < end; i++)
        {
            int token = Token(i);
            document = Document(token, document);
            yield return new LatentEntry(_numbers[document], Position(token, document), Value(i));
        }
    }

    /// <summary>What is active in a document, by token, then latent; nothing for a document that was not scanned.</summary>
    public IEnumerable<TokenEntry> OfDocument(int documentNumber)
    {
        if (!_indexOf.TryGetValue(documentNumber, out int document))
        {
            yield break;
        }

        long first = _documentStart[document];
        for (long token = first; token < _documentStart[document + 1]; token++)
        {
            for (long i = EntryOf(token); i < EntryOf(token + 1); i++)
            {
                yield return new TokenEntry(Position(token, document), LatentOf(i), ValueOf(i));
            }
        }
    }

    /// <summary>
    /// The largest activation of a latent in each document over the tokens that have the flag <paramref name="role"/>; 0 where it is never active there.
    /// </summary>
    /// <param name="latent">Which latent.</param>
    /// <param name="role">For instance <see cref="TokenRole.Assistant"/>: the maximum over the answers.</param>
    /// <param name="maxima_D">Written: one value for each of <see cref="DocumentNumbers"/>.</param>
    public void Maxima(int latent, TokenRole role, Span<float> maxima_D)
    {
        maxima_D[.._numbers.Length].Clear();
        int* tokens = _latentToken.Ints;
        float* values = _latentValue.Floats;
        int document = 0;
        long end = FirstOf(latent) + Count(latent);
        for (long i = FirstOf(latent); i < end; i++)
        {
            if ((_roles[tokens[i]] & (byte)role) != 0)
            {
                document = Document(tokens[i], document);
                maxima_D[document] = Math.Max(maxima_D[document], values[i]);
            }
        }
    }

    /// <summary>
    /// The largest activation of every latent in one document over the tokens that have the flag <paramref name="role"/>; 0 where it is never active there.
    /// </summary>
    /// <param name="documentNumber">A scanned document.</param>
    /// <param name="role">Which tokens.</param>
    /// <param name="maxima_L">[L], written.</param>
    public void DocumentMaxima(int documentNumber, TokenRole role, Span<float> maxima_L)
    {
        maxima_L[..Latents].Clear();
        int document = _indexOf[documentNumber];
        int* latents = _tokenLatent.Ints;
        float* values = _tokenValue.Floats;
        for (long token = _documentStart[document]; token < _documentStart[document + 1]; token++)
        {
            if ((_roles[token] & (byte)role) == 0)
            {
                continue;
            }

            for (long i = _tokenStart[token]; i < _tokenStart[token + 1]; i++)
            {
                maxima_L[latents[i]] = Math.Max(maxima_L[latents[i]], values[i]);
            }
        }
    }

    public void Dispose() => _file.Dispose();

    /// <summary>Index of the document that holds a token, searched from <paramref name="from"/> on.</summary>
    int Document(long token, int from)
    {
        if (token < _documentStart[from + 1])
        {
            return from;
        }

        int found = Array.BinarySearch(_documentStart, from + 1, _numbers.Length - from, token);
        return found >= 0 ? found : ~found - 1;
    }

    /// <summary>Where in its document a scanned token stands.</summary>
    int Position(long token, int document) => _positions is null ? (int)(token - _documentStart[document]) : _positions[token];

    long FirstOf(int latent) => _latentStart[latent];

    long EntryOf(long token) => _tokenStart[token];

    int Token(long entry) => _latentToken.Ints[entry];

    float Value(long entry) => _latentValue.Floats[entry];

    int LatentOf(long entry) => _tokenLatent.Ints[entry];

    float ValueOf(long entry) => _tokenValue.Floats[entry];
}
