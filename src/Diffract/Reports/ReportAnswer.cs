using Diffract.Runs;

namespace Diffract.Reports;

/// <summary>Section 0: what was found, in plain words.</summary>
/// <param name="Base">Name of the base model.</param>
/// <param name="Chat">Name of the chat model.</param>
/// <param name="Layer">The block whose output was compared, from 0.</param>
/// <param name="Blocks">Blocks of the models.</param>
/// <param name="Tokens">Tokens of all splits.</param>
/// <param name="Date">When the last stage finished, UTC, ISO 8601.</param>
/// <param name="Headline">The answer in one sentence.</param>
/// <param name="Paragraphs">The answer with its numbers: chat-only by norm and what survives, share of the gap, behaviours.</param>
public sealed record ReportAnswer(string Base, string Chat, LayerPair Layer, int Blocks, long Tokens, string Date, string Headline, IReadOnlyList<string> Paragraphs);
