using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Diffract.Formats;
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
    const int DefaultContext = 1024;
    const double MostSkipped = 0.01;

    internal static JsonSerializerOptions DocumentJson { get; } = new(Provenance.Json) { WriteIndented = false, Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) } };

    public static void Run(StageContext context, TokenizeSettings settings)
    {
        string baseModel = Path.GetFullPath(settings.BaseModel), chatModel = Path.GetFullPath(settings.ChatModel), folder = context.Run.Tokens;
        PairShape shape = PairShape.Of(baseModel, chatModel);
        int length = Check(settings, shape);
        TextEncoder encoder = TextEncoder.Load(chatModel, settings.ChatFormat);
        int skipFirst = settings.SkipFirst ?? PairFamily.SkipFirst(chatModel, () => encoder.Tokenizer);
        StageManifest plan = new() { Stage = "tokenize", Settings = Describe(settings, baseModel, chatModel, length, skipFirst) };
        if (context.AlreadyDone(folder, plan))
        {
            context.Progress.Done("tokenize", "tokens are there already");
            return;
        }

        context.Progress.Line(
            $"tokenize: {settings.Texts.Count} files of documents, {settings.Chats.Count} of chats, cut after {length} tokens, {(settings.MaxTokens is { } most ? FormattableString.Invariant($"at most {most:N0} tokens") : "all tokens")}");
        if (skipFirst > 0)
        {
            context.Progress.Line($"tokenize: the first {skipFirst} positions of each document are not stored{(settings.SkipFirst is null ? ", as is usual for this family; --skip-first 0 keeps them" : "")}");
        }

        try
        {
            Make(context, settings, plan, encoder, length, shape.Vocabulary, skipFirst);
        }
        catch
        {
            // Nothing can be gone on with: do not leave a half-made stage that refuses other settings.
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    static void Make(StageContext context, TokenizeSettings settings, StageManifest plan, TextEncoder encoder, int length, int vocabulary, int skipFirst)
    {
        System.Diagnostics.Stopwatch clock = System.Diagnostics.Stopwatch.StartNew();
        CompareTokenizers(settings, (string)plan.Settings["base"]!["folder"]!, encoder);
        CustomFormat.Check(encoder, (string)plan.Settings["chat"]!["folder"]!, settings.ChatFormat, settings.Chats.SelectMany(JsonLines.Read));
        PairEncoder pair = new(encoder, skipFirst);
        EncodedStream? documents = settings.Texts.Count == 0 ? null : new EncodedStream(settings.Texts, pair, length, context.Stop);
        EncodedStream? chats = settings.Chats.Count == 0 ? null : new EncodedStream(settings.Chats, pair, length, context.Stop) { Source = TextSource.Chat };
        Writer writer = new(context, settings, vocabulary, skipFirst == 0, documents, chats);
        Dictionary<string, FileSeal> outputs = writer.Write(context.Run.Tokens);
        CheckSkips(chats);
        CheckSplits(settings, writer.SplitRows, writer.UsedUp());
        context.Finish(context.Run.Tokens, plan with { Outputs = outputs, Facts = writer.Facts(), Seconds = clock.Elapsed.TotalSeconds });
        context.Progress.Done("tokenize", writer.Summary());
    }

    /// <summary>Refuses what cannot be tokenized, before anything is written: a pair that does not fit, files that are not there.</summary>
    public static void Check(TokenizeSettings settings) => Check(settings, PairShape.Of(settings.BaseModel, settings.ChatModel));

    /// <summary>Checks what was asked for and returns the context length.</summary>
    static int Check(TokenizeSettings settings, PairShape shape)
    {
        if (settings.Texts.Count + settings.Chats.Count == 0)
        {
            throw DiffractException.Argument("there is no text to read; give files with --text, --chats or both");
        }

        if (settings.Texts.Concat(settings.Chats).FirstOrDefault(f => !File.Exists(f)) is { } missing)
        {
            throw DiffractException.Argument($"{missing} does not exist; wanted a file of JSON lines, plain or .gz");
        }

        if (settings.MaxTokens is < 1)
        {
            throw DiffractException.Argument($"--tokens {settings.MaxTokens} is too small; wanted at least 1, and 100000 for every stage to run");
        }

        if (settings.Context is { } given && (given < 2 || given > shape.ContextLimit))
        {
            throw DiffractException.Argument($"--context {given} is out of range; wanted 2 to {shape.ContextLimit}, the most that both models can read");
        }

        int length = settings.Context ?? Math.Min(DefaultContext, shape.ContextLimit);
        if (settings.SkipFirst is { } skip && (skip < 0 || skip >= length))
        {
            throw DiffractException.Argument($"--skip-first {skip} is out of range; wanted 0 to {length - 1}, less than the context");
        }

        double[] shares = [settings.TrainShare, settings.ScalingShare, settings.HeldOutShare];
        return shares.All(s => s > 0) && Math.Abs(shares.Sum() - 1) < 1e-9
            ? length
            : throw DiffractException.Argument(FormattableString.Invariant($"the splits' shares are {shares[0]}, {shares[1]} and {shares[2]}; wanted three positive numbers that add up to 1"));
    }

    static JsonObject Describe(TokenizeSettings settings, string baseModel, string chatModel, int length, int skipFirst)
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

        // Only where it says something, so that the tokens of an ordinary pair are told by the same settings as ever.
        if (skipFirst > 0)
        {
            description["skipFirst"] = skipFirst;
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

    /// <summary>Both models must read the same ids: the first texts and chats are encoded by both tokenizers.</summary>
    static void CompareTokenizers(TokenizeSettings settings, string baseModel, TextEncoder chat)
    {
        Tokenizer other = Tokenizer.Load(baseModel);
        TextEncoder baseEncoder = new(other, () => chat.Template);
        foreach (TextItem item in settings.Texts.SelectMany(JsonLines.Read).Take(ComparedTexts).Concat(settings.Chats.SelectMany(JsonLines.Read).Take(ComparedTexts)))
        {
            if (item.Turns is not null && chat.TryChat(item.Turns, out _) is null)
            {
                continue;
            }

            int[] a = baseEncoder.Encode(item).Ids, b = chat.Encode(item).Ids;
            int at = a.AsSpan().CommonPrefixLength(b);
            if (at < Math.Max(a.Length, b.Length))
            {
                throw new DiffractException(
                    $"the tokenizers of base and chat model differ on {item.Id} ({item.File} line {item.Line}): token {at} is {Name(other, a, at)} for the base, {Name(chat.Tokenizer, b, at)} for the chat model; wanted a pair with one tokenizer");
            }
        }

        static string Name(Tokenizer tokenizer, int[] ids, int at) => at < ids.Length ? $"{ids[at]} \"{tokenizer.TokenText(ids[at])}\"" : "missing";
    }

    static void CheckSkips(EncodedStream? chats)
    {
        if (chats is not null && chats.Skipped > MostSkipped * chats.Seen)
        {
            JsonNode first = chats.Skips[0]!;
            throw new DiffractException(
                $"{chats.Skipped} of {chats.Seen} chats cannot be used, the first is {first["file"]} line {first["line"]}, which {first["why"]}; at most 1% may be passed over: mend or remove them");
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
    sealed class Writer(StageContext context, TokenizeSettings settings, int vocabulary, bool allStored, EncodedStream? documents, EncodedStream? chats)
    {
        int _number;
        long _tokens, _rows;

        /// <summary>Stored tokens of each split.</summary>
        public long[] SplitRows { get; } = new long[3];

        public Dictionary<string, FileSeal> Write(string folder)
        {
            Dictionary<string, FileSeal> outputs = [];
            outputs[TokenStore.IdsFile] = AtomicFile.Write(Path.Combine(folder, TokenStore.IdsFile), ids =>
                outputs[TokenStore.MarksFile] = AtomicFile.Write(Path.Combine(folder, TokenStore.MarksFile), marks =>
                    outputs[TokenStore.DocumentsFile] = AtomicFile.Write(Path.Combine(folder, TokenStore.DocumentsFile), lines =>
                    {
                        if (!allStored)
                        {
                            outputs[RowMap.FileName] = AtomicFile.Write(Path.Combine(folder, RowMap.FileName), rows => Merge(ids, marks, lines, rows));
                            return;
                        }

                        Merge(ids, marks, lines, null);
                    })));
            return outputs;
        }

        public JsonObject Facts()
        {
            JsonObject facts = TokenFacts();
            if (!allStored)
            {
                facts["rows"] = _rows;
                facts["withoutRows"] = WithoutRows;
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
            ["skippedChats"] = chats?.Skipped ?? 0,
            ["skipped"] = chats?.Skips.DeepClone() ?? new JsonArray(),
        };

        /// <summary>Where both are read: which ended while the other had more.</summary>
        public string? UsedUp() => documents is null || chats is null ? null
            : documents.Peek() is null && chats.Peek() is not null ? "documents"
            : chats.Peek() is null && documents.Peek() is not null ? "chats"
            : null;

        public string Summary()
            => string.Create(
                System.Globalization.CultureInfo.InvariantCulture,
                $"{_tokens:N0} tokens: {documents?.Taken ?? 0:N0} documents, {chats?.Taken ?? 0:N0} chats{(chats is { Skipped: > 0 } ? $" ({chats.Skipped} passed over)" : "")}{(allStored ? "" : string.Create(System.Globalization.CultureInfo.InvariantCulture, $", {_rows:N0} of them stored{(WithoutRows == 0 ? "" : $" ({WithoutRows:N0} lines too short to have any)")}"))}; train {SplitRows[0]:N0}, scaling {SplitRows[1]:N0}, held out {SplitRows[2]:N0}{(UsedUp() is { } which ? $"; all {which} used" : "")}");

        void Merge(Stream ids, Stream marks, Stream lines, Stream? rows)
        {
            long total = settings.MaxTokens ?? long.MaxValue;
            while (Next() is { } stream && stream.Peek() is var (item, pair) && _tokens + pair.Text.Ids.Length <= total)
            {
                context.Stop.ThrowIfCancellationRequested();
                EncodedText text = pair.Text;
                TokenDocument d = new(_number, _tokens, text.Ids.Length, stream.Source, SplitOf(_number), item.Id, item.Labels) { Kept = pair.Positions?.Length };
                if (text.Ids.Any(id => (uint)id >= (uint)vocabulary))
                {
                    throw new DiffractException($"{item.File} line {item.Line} holds the token {text.Ids.Max()}, but the models' vocabulary has {vocabulary}; wanted a tokenizer that belongs to the models");
                }

                ids.Write(MemoryMarshal.AsBytes(text.Ids.AsSpan()));
                marks.Write(text.Roles);
                marks.Write(text.BlockPositions);
                marks.Write(text.Turns);
                lines.Write(JsonSerializer.SerializeToUtf8Bytes(d, DocumentJson));
                lines.WriteByte((byte)'\n');
                if (pair.Positions is { } positions)
                {
                    rows!.Write(MemoryMarshal.AsBytes(positions.AsSpan()));
                    rows.Write(MemoryMarshal.AsBytes((pair.BasePositions ?? positions).AsSpan()));
                }

                SplitRows[(int)d.Split] += d.Rows;
                _tokens += d.Length;
                _rows += d.Rows;
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

        Split SplitOf(int number)
        {
            double u = SeededHash.Unit(SeededHash.Of((ulong)settings.Seed, (ulong)number));
            return u < settings.TrainShare ? Split.Train : u < settings.TrainShare + settings.ScalingShare ? Split.Scaling : Split.HeldOut;
        }

        // About four bytes of text a token, and packed files hold about three times their size.
        long Estimate() => settings.Texts.Concat(settings.Chats).Sum(f => CheckpointFiles.Length(f) * (f.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? 3 : 1)) / 4;
    }
}
