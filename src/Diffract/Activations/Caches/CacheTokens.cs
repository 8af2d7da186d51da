using System.IO.Hashing;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Formats;
using Diffract.Runs;
using Diffract.Tokens;

namespace Diffract.Activations.Caches;

/// <summary>
/// The tokens of a cache as a token store: documents, splits, and roles where a tokenizer says what the ids are. Where the collector left the first positions of each document out, a chat's are filled in from its
/// template, since they are the same in every chat; they have no rows.
/// </summary>
sealed class CacheTokens
{
    const int Together = 256;
    readonly StageContext _context;
    readonly CacheSettings _settings;
    readonly CachePair _pair;
    readonly CacheModels _models;
    readonly long[] _starts;
    readonly ChatRecovery? _recovery;
    readonly int? _bos;
    readonly int _skipped;
    readonly long[] _splitTokens = new long[3];
    long _tokens;
    int _chats, _unread, _longest;

    public CacheTokens(StageContext context, CacheSettings settings, CachePair pair, CacheModels models)
    {
        (_context, _settings, _pair, _models) = (context, settings, pair, models);
        (TextEncoder Encoder, bool HasTemplate)? encoder = models.Encoder();
        _bos = settings.Bos ?? encoder?.Encoder.Tokenizer.BosId;
        _starts = CacheDocuments.Starts(pair, _bos);
        _longest = (int)Math.Min(int.MaxValue, _starts.Skip(1).Zip(_starts, (end, start) => end - start).Max());
        if (encoder is var (read, hasTemplate))
        {
            _skipped = hasTemplate ? Skipped(read) : 0;
            _recovery = new ChatRecovery(read, hasTemplate, _skipped);
        }
    }

    /// <summary>Settings of the store's manifest: what decides its contents, whatever folder the cache lies in.</summary>
    public JsonObject Settings()
    {
        JsonObject settings = new()
        {
            ["base"] = CacheModels.Describe(_models.Base, _models.Level == ModelsKnown.Both),
            ["chat"] = CacheModels.Describe(_models.Chat, _models.Level == ModelsKnown.Both),
            ["models"] = _models.Level.ToString().ToLowerInvariant(),
            ["context"] = Math.Max(_pair.Chat.Context ?? 0, _longest + _skipped),
            ["seed"] = _settings.Seed,
            ["shares"] = new JsonObject { ["train"] = _settings.TrainShare, ["scaling"] = _settings.ScalingShare, ["heldOut"] = 1 - _settings.TrainShare - _settings.ScalingShare },
            ["cacheTokens"] = HashOfTokens(),
            ["cacheDocuments"] = Hex(MemoryMarshal.AsBytes(_starts.AsSpan())),
        };
        if (!_pair.Replace.IsEmpty)
        {
            settings["replace"] = _pair.Replace.ToJson();
        }

        if (_skipped > 0)
        {
            settings["skipFirst"] = _skipped;
        }

        return settings;
    }

    public Dictionary<string, FileSeal> Write(string folder)
    {
        Dictionary<string, FileSeal> outputs = [];
        string[] names = [TokenStore.IdsFile, TokenStore.MarksFile, TokenStore.DocumentsFile, .. _skipped > 0 ? (string[])[RowMap.FileName] : []];
        Open([]);
        for (int s = 0; s < _splitTokens.Length; s++)
        {
            if (_splitTokens[s] < _settings.LeastSplitTokens)
            {
                throw new DiffractException(FormattableString.Invariant(
                    $"{_pair.Chat.Root} has {_pair.Rows} tokens in {_starts.Length - 1} documents, too few for the splits: {Enum.GetName((Split)s)} got {_splitTokens[s]}, wanted at least {_settings.LeastSplitTokens}"));
            }
        }

        return outputs;

        void Open(Stream[] streams)
        {
            if (streams.Length == names.Length)
            {
                Write(streams[0], streams[1], streams[2], streams.ElementAtOrDefault(3));
                return;
            }

            string name = names[streams.Length];
            outputs[name] = AtomicFile.Write(Path.Combine(folder, name), stream => Open([.. streams, stream]));
        }
    }

    public JsonObject Facts() => new()
    {
        ["tokens"] = _tokens,
        ["rows"] = _pair.Rows,
        ["documents"] = _starts.Length - 1 - _chats,
        ["chats"] = _chats,
        ["unreadChats"] = _unread,
        ["documentsBy"] = _pair.Ranges() is null ? "token " + _bos : CacheFolder.RangesFile,
        ["splitTokens"] = new JsonObject { ["train"] = _splitTokens[0], ["scaling"] = _splitTokens[1], ["heldOut"] = _splitTokens[2] },
    };

    /// <summary>What was made, and what cannot be said for want of a tokenizer or a model.</summary>
    public void Tell()
    {
        _context.Progress.Line(FormattableString.Invariant(
            $"activations: {_pair.Rows:N0} tokens in {_starts.Length - 1:N0} documents ({_chats:N0} of them chats), by {(_pair.Ranges() is null ? $"token {_bos}" : CacheFolder.RangesFile)}"));
        if (_skipped > 0)
        {
            _context.Progress.Line($"activations: the first {_skipped} positions of each document were not stored; those of chats are filled in from the template");
        }

        if (_unread > 0)
        {
            _context.Progress.Warn($"{_unread} documents begin as chats but do not give their ids again when they are written anew: the roles of their tokens are unknown");
        }

        if (_models.Level == ModelsKnown.Nothing)
        {
            _context.Progress.Warn("no --chat: the ids stay without text and roles; rates by role, examples, interventions and behaviours are left out");
        }
        else if (_models.Level == ModelsKnown.Tokenizer)
        {
            _context.Progress.Warn("no --base: nothing can be run through the models; interventions are left out");
        }
    }

    int[] Ids(TorchVector tokens, int document)
    {
        long[] ids = new long[_starts[document + 1] - _starts[document]];
        tokens.Read(_starts[document], ids);
        return Array.ConvertAll(ids, id => (int)id);
    }

    /// <summary>How many positions the collector left out of each document: those that the family's collectors do, unless some document begins as a whole one does.</summary>
    int Skipped(TextEncoder encoder)
    {
        int skip = PairFamily.SkipFirst(_models.Chat, () => encoder.Tokenizer);
        int[] begins = skip == 0 ? [] : encoder.Chat([new Text.Turn("user", "x"), new Text.Turn("assistant", "x")]).Ids;
        if (begins.Length <= skip)
        {
            return 0;
        }

        using TorchVector tokens = _pair.Chat.OpenTokens()!;
        for (int d = 0; d + 1 < _starts.Length; d++)
        {
            int[] ids = Ids(tokens, d);
            if (ids[0] == encoder.Tokenizer.BosId || (ids.Length >= skip && ids.AsSpan(0, skip).SequenceEqual(begins.AsSpan(0, skip))))
            {
                return 0;
            }
        }

        return skip;
    }

    void Write(Stream ids, Stream marks, Stream lines, Stream? rows)
    {
        using TorchVector tokens = _pair.Chat.OpenTokens()!;
        int documents = _starts.Length - 1;
        for (int first = 0; first < documents; first += Together)
        {
            _context.Stop.ThrowIfCancellationRequested();
            int count = Math.Min(Together, documents - first);
            (EncodedText Text, TextSource Source, bool Unread)[] read = new (EncodedText, TextSource, bool)[count];
            int[][] stored = [.. Enumerable.Range(first, count).Select(d => Ids(tokens, d))];
            try
            {
                Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, i => read[i] = _recovery?.Recover(stored[i]) ?? (Unknown(stored[i]), TextSource.Document, false));
            }
            catch (AggregateException e) when (e.InnerExceptions.OfType<DiffractException>().FirstOrDefault() is { } inner)
            {
                throw inner;
            }

            for (int i = 0; i < count; i++)
            {
                (EncodedText text, TextSource source, bool unread) = read[i];
                Put(first + i, stored[i].Length, text, source, ids, marks, lines, rows);
                _chats += source == TextSource.Chat ? 1 : 0;
                _unread += unread ? 1 : 0;
            }

            _context.Progress.Report("activations: tokens", _starts[first + count], _pair.Rows, "tokens");
        }
    }

    void Put(int number, int stored, EncodedText text, TextSource source, Stream ids, Stream marks, Stream lines, Stream? rows)
    {
        Split split = Splits.Of(_settings.Seed, number, _settings.TrainShare, _settings.ScalingShare);
        TokenDocument d = new(number, _tokens, text.Ids.Length, source, split, $"document {number} of the cache", []) { Kept = rows is null ? null : stored };
        ids.Write(MemoryMarshal.AsBytes(text.Ids.AsSpan()));
        marks.Write(text.Roles);
        marks.Write(text.BlockPositions);
        marks.Write(text.Turns);
        lines.Write(JsonSerializer.SerializeToUtf8Bytes(d, TokenizeStage.DocumentJson));
        lines.WriteByte((byte)'\n');
        if (rows is not null)
        {
            // For the chat model, then for the base model: the same positions in both.
            int[] positions = [.. Enumerable.Range(text.Ids.Length - stored, stored)];
            rows.Write(MemoryMarshal.AsBytes(positions.AsSpan()));
            rows.Write(MemoryMarshal.AsBytes(positions.AsSpan()));
        }

        _tokens += d.Length;
        _splitTokens[(int)split] += stored;
    }

    EncodedText Unknown(int[] ids)
    {
        byte[] roles = new byte[ids.Length], turns = new byte[ids.Length];
        Array.Fill(turns, TextEncoder.NoTurn);
        roles[0] = (byte)(ids[0] == _bos ? TokenRole.Bos : TokenRole.None);
        return new EncodedText(ids, [], roles, new byte[ids.Length], turns);
    }

    string HashOfTokens()
    {
        using TorchVector tokens = _pair.Chat.OpenTokens()!;
        XxHash128 hash = new();
        long[] read = new long[1 << 16];
        for (long at = 0; at < tokens.Length; at += read.Length)
        {
            Span<long> part = read.AsSpan(0, (int)Math.Min(read.Length, tokens.Length - at));
            tokens.Read(at, part);
            hash.Append(MemoryMarshal.AsBytes(part));
        }

        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }

    static string Hex(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(XxHash128.Hash(bytes));
}
