using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Diffract.Formats;
using Diffract.Formats.Rows;
using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>
/// The tokenize stage: text and chats to <c>tokens/</c>. Documents and chats alternate so that their token shares stay equal until either is used up or the cap is reached; each gets its split from a
/// seeded hash of its number. Takes seconds a million tokens, so a stopped stage starts again from nothing.
/// </summary>
public static class TokenizeStage
{
    const int ComparedTexts = 200;

    internal static JsonSerializerOptions DocumentJson { get; } = new(Provenance.Json) { WriteIndented = false, Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) } };

    public static void Run(StageContext context, TokenizeSettings settings)
    {
        string baseModel = Path.GetFullPath(settings.BaseModel), chatModel = Path.GetFullPath(settings.ChatModel), folder = context.Run.Tokens;
        PairShape shape = PairShape.Of(baseModel, chatModel, settings.ContextLimit);
        int length = Check(settings, shape);
        TextEncoder encoder = TextEncoder.Load(chatModel, settings.ChatFormat);
        int skipFirst = settings.SkipFirst ?? PairFamily.SkipFirst(chatModel, () => encoder.Tokenizer);
        ReplacementMap replace = settings.Replace ?? PairFamily.Replacement(baseModel, chatModel, () => encoder.Tokenizer);
        PairVocabulary vocabulary = new(shape.BaseVocabulary, shape.ChatVocabulary, replace, encoder.Tokenizer.TokenText);
        if (vocabulary.ReplacementFault() is { } fault)
        {
            throw DiffractException.Argument(fault);
        }

        Tokenizer baseTokenizer = Tokenizer.Load(baseModel);
        PairTokenizers tokenizers = Compare(settings, baseTokenizer, encoder);
        PairPlan pair = new(vocabulary, skipFirst, tokenizers.Difference is null ? null : baseTokenizer);
        StageManifest plan = new() { Stage = "tokenize", Settings = Describe(settings, baseModel, chatModel, length, pair) };
        if (context.AlreadyDone(folder, plan))
        {
            context.Progress.Done("tokenize", "tokens are there already");
            return;
        }

        context.Progress.Line(
            $"tokenize: {settings.Texts.Count} files of documents, {settings.Chats.Count} of chats, cut after {length} tokens, {(settings.MaxTokens is { } most ? FormattableString.Invariant($"at most {most:N0} tokens") : "all tokens")}");
        Announce(context, settings, pair, tokenizers, encoder.Tokenizer);
        try
        {
            Make(context, settings, plan, encoder, length, pair);
        }
        catch
        {
            // Nothing can be gone on with: do not leave a half-made stage that refuses other settings.
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    static void Make(StageContext context, TokenizeSettings settings, StageManifest plan, TextEncoder encoder, int length, PairPlan pair)
    {
        System.Diagnostics.Stopwatch clock = System.Diagnostics.Stopwatch.StartNew();
        CustomFormat.Check(encoder, (string)plan.Settings["chat"]!["folder"]!, settings.ChatFormat, Chats(settings));
        PairEncoder both = new(encoder, pair.SkipFirst, pair.BaseTokenizer);
        using EncodedStream? documents = settings.Texts.Count == 0 ? null : new EncodedStream(Documents(settings), TextSource.Document, both, length, context.Stop);
        using EncodedStream? chats = settings.Chats.Count == 0 ? null : new EncodedStream(Chats(settings), TextSource.Chat, both, length, context.Stop);
        Writer writer = new(context, settings, pair, documents, chats);
        Dictionary<string, FileSeal> outputs = writer.Write(context.Run.Tokens);
        SaySkips(context, documents, chats);
        CheckSkips(settings, documents, "documents");
        CheckSkips(settings, chats, "chats");
        CheckSplits(settings, writer.SplitRows, writer.UsedUp());
        context.Finish(context.Run.Tokens, plan with { Outputs = outputs, Facts = writer.Facts(), Seconds = clock.Elapsed.TotalSeconds });
        context.Progress.Done("tokenize", writer.Summary());
    }

    /// <summary>Refuses what cannot be tokenized, before anything is written: a pair that does not fit, files that are not there.</summary>
    public static void Check(TokenizeSettings settings) => Check(settings, PairShape.Of(settings.BaseModel, settings.ChatModel, settings.ContextLimit));

    /// <summary>Checks what was asked for and returns the context length.</summary>
    static int Check(TokenizeSettings settings, PairShape shape)
    {
        if (settings.Texts.Count + settings.Chats.Count == 0)
        {
            throw DiffractException.Argument("there is no text to read; give files with --text, --chats or both");
        }

        foreach (string file in settings.Texts.Concat(settings.Chats))
        {
            _ = RowFile.Read(file, RowSelection.All);
        }

        if (settings.MostSkipped is < 0 or > 1)
        {
            throw DiffractException.Argument(FormattableString.Invariant($"--most-skipped {settings.MostSkipped} is out of range; wanted a share from 0 to 1"));
        }

        Tokenizer.RequireFile(settings.BaseModel);
        Tokenizer.RequireFile(settings.ChatModel);
        if (settings.MaxTokens is < 1)
        {
            throw DiffractException.Argument($"--tokens {settings.MaxTokens} is too small; wanted at least 1, and 100000 for every stage to run");
        }

        int length = shape.Length(settings.Context);
        if (settings.SkipFirst is { } skip && (skip < 0 || skip >= length))
        {
            throw DiffractException.Argument($"--skip-first {skip} is out of range; wanted 0 to {length - 1}, less than the context");
        }

        double[] shares = [settings.TrainShare, settings.ScalingShare, settings.HeldOutShare];
        return shares.All(s => s > 0) && Math.Abs(shares.Sum() - 1) < 1e-9
            ? length
            : throw DiffractException.Argument(FormattableString.Invariant($"the splits' shares are {shares[0]}, {shares[1]} and {shares[2]}; wanted three positive numbers that add up to 1"));
    }

    static JsonObject Describe(TokenizeSettings settings, string baseModel, string chatModel, int length, PairPlan pair)
    {
        JsonObject description = new()
        {
            ["base"] = new JsonObject { ["folder"] = baseModel, ["checkpoint"] = CheckpointSeal.Of(baseModel) },
            ["chat"] = new JsonObject { ["folder"] = chatModel, ["checkpoint"] = CheckpointSeal.Of(chatModel), ["tokenizer"] = AtomicFile.Seal(Path.Combine(chatModel, "tokenizer.json")).Xxh128 },
            ["text"] = Files(settings.Texts),
            ["chats"] = Files(settings.Chats),
            ["chatFormat"] = Format(),
            ["maxTokens"] = settings.MaxTokens,
            ["context"] = length,
            ["seed"] = settings.Seed,
            ["shares"] = new JsonObject { ["train"] = settings.TrainShare, ["scaling"] = settings.ScalingShare, ["heldOut"] = settings.HeldOutShare },
        };

        if (settings.Columns.Describe() is { Count: > 0 } columns)
        {
            description["columns"] = columns;
        }

        // Only where it says something, so that the tokens of an ordinary pair are told by the same settings as ever.
        if (pair.SkipFirst > 0)
        {
            description["skipFirst"] = pair.SkipFirst;
        }

        if (!pair.Vocabulary.Replace.IsEmpty)
        {
            description["replace"] = pair.Vocabulary.Replace.ToJson();
        }

        if (pair.OwnTokens)
        {
            description["ownTokens"] = true;
            description["base"]!["tokenizer"] = AtomicFile.Seal(Path.Combine(baseModel, "tokenizer.json")).Xxh128;
        }

        return description;

        // The template may be changed without the tokenizer.
        JsonObject Format()
        {
            JsonObject format = settings.ChatFormat.Describe();
            format["template"] = settings.ChatFormat.Name == ChatFormat.Own.Name && ChatTemplate.FileOf(chatModel) is { } file ? AtomicFile.Seal(file).Xxh128 : null;
            return format;
        }

        static JsonArray Files(IReadOnlyList<string> files) => new([.. files.Select(f =>
        {
            FileSeal seal = AtomicFile.Seal(f);
            return new JsonObject { ["file"] = Path.GetFullPath(f), ["bytes"] = seal.Bytes, ["xxh128"] = seal.Xxh128 };
        })]);
    }

    /// <summary>The first texts and chats by both tokenizers.</summary>
    static PairTokenizers Compare(TokenizeSettings settings, Tokenizer baseTokenizer, TextEncoder chat)
        => PairTokenizers.Compare(
            Documents(settings).Where(i => i.Fault is null).Take(ComparedTexts).Concat(Chats(settings).Where(i => i.Fault is null).Take(ComparedTexts)), baseTokenizer, chat);

    static void Announce(StageContext context, TokenizeSettings settings, PairPlan pair, PairTokenizers tokenizers, Tokenizer chat)
    {
        ReplacementMap replace = pair.Vocabulary.Replace;
        if (pair.SkipFirst > 0)
        {
            context.Progress.Line($"tokenize: the first {pair.SkipFirst} positions of each document are not stored{(settings.SkipFirst is null ? ", as is usual for this family; --skip-first 0 keeps them" : "")}");
        }

        if (!replace.IsEmpty)
        {
            string tokens = string.Join(", ", replace.Ids.Select(p => $"{p.Key} \"{chat.TokenText(p.Key)}\" as {p.Value} \"{chat.TokenText(p.Value)}\""));
            context.Progress.Line($"tokenize: the base model reads {tokens}{(settings.Replace is null ? ", as is usual for this family; --replace none lets it read what the chat model reads" : "")}");
        }

        if (tokenizers.Difference is { } difference)
        {
            context.Progress.Warn($"the tokenizers differ on {difference}: each model reads its own tokens, stored where both have read the same text; interventions are left out");
        }
        else if (tokenizers.Lacking.Where(id => !replace.Ids.ContainsKey(id)).ToArray() is { Length: > 0 } lacking)
        {
            context.Progress.Warn(
                $"the base tokenizer lacks {string.Join(", ", lacking.Take(8).Select(id => $"{id} \"{chat.TokenText(id)}\""))}{(lacking.Length > 8 ? $" and {lacking.Length - 8} more" : "")}: its embedding is read as it is; --replace ID=ID gives it ordinary tokens");
        }
    }

    static IEnumerable<TextItem> Documents(TokenizeSettings settings) => settings.Texts.SelectMany(f => TextRows.Read(f, settings.Columns, TextKind.Documents));

    static IEnumerable<TextItem> Chats(TokenizeSettings settings) => settings.Chats.SelectMany(f => TextRows.Read(f, settings.Columns, TextKind.Chats));

    static void SaySkips(StageContext context, EncodedStream? documents, EncodedStream? chats)
    {
        foreach ((EncodedStream? stream, string what) in ((EncodedStream?, string)[])[(documents, "document rows"), (chats, "chats")])
        {
            foreach ((string reason, int count) in stream?.Skips.Reasons ?? [])
            {
                context.Progress.Line(FormattableString.Invariant($"tokenize: passed over {count:N0} of {stream!.Seen:N0} {what}: {reason}"));
            }
        }
    }

    static void CheckSkips(TokenizeSettings settings, EncodedStream? stream, string what)
    {
        if (stream is not null && stream.Skips.Count > settings.MostSkipped * stream.Seen)
        {
            throw new DiffractException(FormattableString.Invariant(
                $"{stream.Skips.Count} of {stream.Seen} {what} cannot be used, the first is {stream.Skips.First}; at most {settings.MostSkipped:0.##%} may be passed over: mend or remove them, or allow more with --most-skipped SHARE"));
        }
    }

    static void CheckSplits(TokenizeSettings settings, long[] tokens, string? usedUp)
    {
        double[] shares = [settings.TrainShare, settings.ScalingShare, settings.HeldOutShare];
        for (int s = 0; s < tokens.Length; s++)
        {
            if (tokens[s] < settings.LeastSplitTokens)
            {
                throw new DiffractException(FormattableString.Invariant(
                    $"{tokens.Sum()} tokens are too few for the splits: {Enum.GetName((Split)s)} got {tokens[s]}, wanted at least {settings.LeastSplitTokens}; give about {Math.Ceiling(settings.LeastSplitTokens / shares.Min() / 1000 * 1.2) * 1000} tokens or more (100000 for every stage to run){(usedUp is null ? "" : $"; documents and chats are taken in equal shares, and the {usedUp} were used up first")}"));
            }
        }
    }

    /// <summary>Writes the store's files while it merges both streams.</summary>
    sealed class Writer(StageContext context, TokenizeSettings settings, PairPlan pair, EncodedStream? documents, EncodedStream? chats)
    {
        int _number;
        long _tokens, _rows, _baseTokens;

        /// <summary>Stored tokens of each split.</summary>
        public long[] SplitRows { get; } = new long[3];

        public Dictionary<string, FileSeal> Write(string folder)
        {
            string[] names = [TokenStore.IdsFile, TokenStore.MarksFile, TokenStore.DocumentsFile, TokenStore.SkippedFile, .. pair.AllStored ? [] : (string[])[RowMap.FileName], .. pair.OwnTokens ? (string[])[TokenStore.BaseIdsFile] : []];
            Dictionary<string, FileSeal> outputs = [];
            Open([]);
            return outputs;

            void Open(Stream[] streams)
            {
                if (streams.Length == names.Length)
                {
                    Merge(streams[0], streams[1], streams[2], streams.ElementAtOrDefault(4), streams.ElementAtOrDefault(5));
                    documents?.Skips.WriteTo(streams[3]);
                    chats?.Skips.WriteTo(streams[3]);
                    return;
                }

                string name = names[streams.Length];
                outputs[name] = AtomicFile.Write(Path.Combine(folder, name), stream => Open([.. streams, stream]));
            }
        }

        public JsonObject Facts()
        {
            JsonObject facts = TokenFacts();
            if (!pair.AllStored)
            {
                facts["rows"] = _rows;
                facts["withoutRows"] = WithoutRows;
            }

            if (pair.OwnTokens)
            {
                facts["baseTokens"] = _baseTokens;
                facts["alignedShare"] = (double)_rows / _tokens;
                facts["baseAlignedShare"] = (double)_rows / _baseTokens;
            }

            return facts;
        }

        int WithoutRows => (documents?.WithoutRows ?? 0) + (chats?.WithoutRows ?? 0);

        JsonObject TokenFacts() => new()
        {
            ["tokens"] = _tokens,
            ["documents"] = documents?.Taken ?? 0,
            ["chats"] = chats?.Taken ?? 0,
            ["documentTokens"] = documents?.Tokens ?? 0,
            ["chatTokens"] = chats?.Tokens ?? 0,
            ["splitTokens"] = new JsonObject { ["train"] = SplitRows[0], ["scaling"] = SplitRows[1], ["heldOut"] = SplitRows[2] },
            ["usedUp"] = UsedUp(),
            ["skippedDocuments"] = documents?.Skips.Count ?? 0,
            ["skippedChats"] = chats?.Skips.Count ?? 0,
            ["skipped"] = new JsonObject { ["documents"] = Reasons(documents), ["chats"] = Reasons(chats) },
        };

        static JsonObject Reasons(EncodedStream? stream) => new(stream?.Skips.Reasons.Select(r => new KeyValuePair<string, JsonNode?>(r.Key, r.Value)) ?? []);

        /// <summary>Where both are read: which ended while the other had more.</summary>
        public string? UsedUp() => documents is null || chats is null ? null
            : documents.Peek() is null && chats.Peek() is not null ? "documents"
            : chats.Peek() is null && documents.Peek() is not null ? "chats"
            : null;

        public string Summary()
            => string.Create(
                System.Globalization.CultureInfo.InvariantCulture,
                $"{_tokens:N0} tokens{Stored()}: {documents?.Taken ?? 0:N0} documents{PassedOver(documents)}, {chats?.Taken ?? 0:N0} chats{PassedOver(chats)}; train {SplitRows[0]:N0}, scaling {SplitRows[1]:N0}, held out {SplitRows[2]:N0}{(UsedUp() is { } which ? $"; all {which} used" : "")}");

        static string PassedOver(EncodedStream? stream) => stream is { Skips.Count: > 0 and var count } ? FormattableString.Invariant($" ({count:N0} passed over)") : "";

        string Stored()
        {
            if (pair.AllStored)
            {
                return "";
            }

            string without = WithoutRows == 0 ? "" : $" ({WithoutRows} lines without any)";
            string aligned = pair.OwnTokens ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $", where both models have read the same text: {(double)_rows / _tokens:P1} of the chat model's tokens, {(double)_rows / _baseTokens:P1} of the base model's") : "";
            return string.Create(System.Globalization.CultureInfo.InvariantCulture, $", {_rows:N0} of them stored{without}{aligned}");
        }

        void Merge(Stream ids, Stream marks, Stream lines, Stream? rows, Stream? baseIds)
        {
            long total = settings.MaxTokens ?? long.MaxValue;
            while (Next() is { } stream && stream.Peek() is var (item, read) && _tokens + read.Text.Ids.Length <= total)
            {
                context.Stop.ThrowIfCancellationRequested();
                EncodedText text = read.Text;
                TokenDocument d = new(_number, _tokens, text.Ids.Length, stream.Source, SplitOf(_number), item.Id, item.Labels) { Kept = read.Positions?.Length, BaseLength = read.BaseIds?.Length };
                if ((pair.OwnTokens ? pair.Vocabulary.BaseFault(read.BaseIds!) : pair.Vocabulary.Fault(text.Ids)) is { } fault)
                {
                    throw new DiffractException($"{item.Place} holds {fault}");
                }

                ids.Write(MemoryMarshal.AsBytes(text.Ids.AsSpan()));
                marks.Write(text.Roles);
                marks.Write(text.BlockPositions);
                marks.Write(text.Turns);
                lines.Write(JsonSerializer.SerializeToUtf8Bytes(d, DocumentJson));
                lines.WriteByte((byte)'\n');
                if (read.Positions is { } positions)
                {
                    rows!.Write(MemoryMarshal.AsBytes(positions.AsSpan()));
                    rows.Write(MemoryMarshal.AsBytes((read.BasePositions ?? positions).AsSpan()));
                }

                baseIds?.Write(MemoryMarshal.AsBytes(read.BaseIds.AsSpan()));
                SplitRows[(int)d.Split] += d.Rows;
                _tokens += d.Length;
                _rows += d.Rows;
                _baseTokens += d.LengthOf(0);
                _number++;
                stream.Take();
                if (_number % 256 == 0)
                {
                    context.Progress.Report("tokenize", _tokens, settings.MaxTokens ?? Math.Max(Estimate(), _tokens + 1), "tokens");
                }
            }
        }

        /// <summary>The stream that has given fewer tokens; null when it has no more, so that shares stay equal.</summary>
        EncodedStream? Next()
        {
            EncodedStream stream = documents is null ? chats! : chats is null || documents.Tokens <= chats.Tokens ? documents : chats;
            return stream.Peek() is null ? null : stream;
        }

        Split SplitOf(int number) => Splits.Of(settings.Seed, number, settings.TrainShare, settings.ScalingShare);

        // About four bytes of text a token, and packed files hold about three times their size.
        long Estimate() => settings.Texts.Concat(settings.Chats).Sum(f => CheckpointFiles.Length(f) * (RowFile.IsPacked(f) ? 3 : 1)) / 4;
    }
}
