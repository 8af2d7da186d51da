namespace Diffract.Tests.Tokens.Components;

/// <summary>Every pre-tokenizer with every one of its switches, by words worked out by hand; those of the reference library's own documentation and unit tests among them.</summary>
public sealed class PreTokenizerTests
{
    [Theory]
    [InlineData("Removed", "the 0 3|final 4 9|countdown 11 20")]
    [InlineData("Isolated", "the 0 3|- 3 4|final 4 9|- 9 10|- 10 11|countdown 11 20")]
    [InlineData("MergedWithPrevious", "the- 0 4|final- 4 10|- 10 11|countdown 11 20")]
    [InlineData("MergedWithNext", "the 0 3|-final 3 9|- 9 10|-countdown 10 20")]
    [InlineData("Contiguous", "the 0 3|- 3 4|final 4 9|-- 9 11|countdown 11 20")]
    public void A_split_by_text_does_each_behaviour(string behaviour, string words)
        => WordTokenizer.Check(Split("""{"String": "-"}""", behaviour), "the-final--countdown", words);

    [Theory]
    [InlineData("Removed", "a 2 3")]
    [InlineData("Isolated", "- 0 1|- 1 2|a 2 3|- 3 4|- 4 5")]
    [InlineData("MergedWithPrevious", "- 0 1|- 1 2|a- 2 4|- 4 5")]
    [InlineData("MergedWithNext", "- 0 1|-a 1 3|- 3 4|- 4 5")]
    [InlineData("Contiguous", "-- 0 2|a 2 3|-- 3 5")]
    public void Matches_at_the_ends_of_a_text_have_nothing_to_merge_with(string behaviour, string words)
        => WordTokenizer.Check(Split("""{"String": "-"}""", behaviour), "--a--", words);

    [Theory]
    [InlineData("Removed", "How 0 3|are 4 7|you 8 11|doing 12 17|? 17 18")]
    [InlineData("Isolated", "How 0 3|  3 4|are 4 7|  7 8|you 8 11|  11 12|doing 12 17|? 17 18")]
    [InlineData("MergedWithPrevious", "How  0 4|are  4 8|you  8 12|doing 12 17|? 17 18")]
    [InlineData("MergedWithNext", "How 0 3| are 3 7| you 7 11| doing 11 17|? 17 18")]
    [InlineData("Contiguous", "How 0 3|  3 4|are 4 7|  7 8|you 8 11|  11 12|doing? 12 18")]
    public void An_inverted_split_takes_what_lies_between_for_the_match(string behaviour, string words)
        => WordTokenizer.Check(Split("""{"Regex": "\\w+|[^\\w\\s]+"}""", behaviour, invert: true), "How are you doing?", words);

    [Theory]
    [InlineData("Removed", "1 2 3")]
    [InlineData("Isolated", "ab 0 2|1 2 3|cd 3 5")]
    [InlineData("MergedWithPrevious", "ab 0 2|1cd 2 5")]
    [InlineData("MergedWithNext", "ab1 0 3|cd 3 5")]
    [InlineData("Contiguous", "ab 0 2|1 2 3|cd 3 5")]
    public void An_inverted_split_merges_the_stretches_between(string behaviour, string words)
        => WordTokenizer.Check(Split("""{"Regex": "\\p{N}"}""", behaviour, invert: true), "ab1cd", words);

    [Theory]
    [InlineData(false, "Hey  0 4|123 4 7| friend! 7 15")]
    [InlineData(true, "Hey  0 4|1 4 5|2 5 6|3 6 7| friend! 7 15")]
    public void Digits_are_cut_off_together_or_one_by_one(bool individual, string words)
        => WordTokenizer.Check($$"""{"type": "Digits", "individual_digits": {{(individual ? "true" : "false")}}}""", "Hey 123 friend!", words);

    [Fact]
    public void A_digit_is_any_number_of_unicode()
        => WordTokenizer.Check("""{"type": "Digits", "individual_digits": false}""", "a½Ⅻ٣b", "a 0 1|½Ⅻ٣ 1 4|b 4 5");

    [Theory]
    [InlineData("""{"type": "Punctuation"}""", "Hey friend 0 10|! 10 11|     How are you 11 27|? 27 28|! 28 29|? 29 30")]
    [InlineData("""{"type": "Punctuation", "behavior": "Removed"}""", "Hey friend 0 10|     How are you 11 27")]
    [InlineData("""{"type": "Punctuation", "behavior": "MergedWithPrevious"}""", "Hey friend! 0 11|     How are you? 11 28|! 28 29|? 29 30")]
    [InlineData("""{"type": "Punctuation", "behavior": "MergedWithNext"}""", "Hey friend 0 10|!     How are you 10 27|? 27 28|! 28 29|? 29 30")]
    [InlineData("""{"type": "Punctuation", "behavior": "Contiguous"}""", "Hey friend 0 10|! 10 11|     How are you 11 27|?!? 27 30")]
    public void Punctuation_does_each_behaviour(string step, string words) => WordTokenizer.Check(step, "Hey friend!     How are you?!?", words);

    [Fact]
    public void Punctuation_is_that_of_ascii_symbols_and_of_unicode()
        => WordTokenizer.Check("""{"type": "Punctuation"}""", "a+b€«c»。", "a 0 1|+ 1 2|b€ 2 4|« 4 5|c 5 6|» 6 7|。 7 8");

    [Theory]
    [InlineData("always", "▁Hey 0 3|▁my 3 6|▁friend 6 13|▁ 13 14|▁<s> 14 17|▁how 17 20|▁are 20 24|▁you 24 28")]
    [InlineData("first", "▁Hey 0 3|▁my 3 6|▁friend 6 13|▁ 13 14|<s> 14 17|how 17 20|▁are 20 24|▁you 24 28")]
    [InlineData("never", "Hey 0 3|▁my 3 6|▁friend 6 13|▁ 13 14|<s> 14 17|how 17 20|▁are 20 24|▁you 24 28")]
    public void A_metaspace_puts_its_character_before_the_words_that_its_scheme_names(string scheme, string words)
        => WordTokenizer.Check(
            Sequence(Split("""{"Regex": "(<s>)"}""", "Isolated"), $$"""{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "{{scheme}}", "split": true}"""),
            "Hey my friend <s>how▁are you", words);

    [Theory]
    [InlineData("Hey   friend!", "▁Hey 0 3|▁ 3 4|▁ 4 5|▁friend! 5 13")]
    [InlineData(" Hey", "▁Hey 0 4")]
    [InlineData("▁Hey ", "▁Hey 0 4|▁ 4 5")]
    public void A_metaspace_adds_none_where_there_is_one(string text, string words)
        => WordTokenizer.Check("""{"type": "Metaspace", "replacement": "▁", "add_prefix_space": true}""", text, words);

    [Theory]
    [InlineData("always", "▁Hey▁my▁▁friend 0 14")]
    [InlineData("never", "Hey▁my▁▁friend 0 14")]
    public void A_metaspace_without_a_split_only_writes(string scheme, string words)
        => WordTokenizer.Check($$"""{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "{{scheme}}", "split": false}""", "Hey my  friend", words);

    [Theory]
    [InlineData(false, true, "Hello my friend, day?", "Hello 0 5|Ġmy 5 8|Ġfriend 8 15|, 15 16|Ġday 16 20|? 20 21")]
    [InlineData(true, true, "Hello my friend, day?", "ĠHello 0 5|Ġmy 5 8|Ġfriend 8 15|, 15 16|Ġday 16 20|? 20 21")]
    [InlineData(true, true, " Hello my", "ĠHello 0 6|Ġmy 6 9")]
    [InlineData(true, false, "Hello my friend, day?", "ĠHelloĠmyĠfriend,Ġday? 0 21")]
    [InlineData(false, false, "Hello my friend, day?", "HelloĠmyĠfriend,Ġday? 0 21")]
    [InlineData(false, true, "Hello there\nHello there", "Hello 0 5|Ġthere 5 11|Ċ 11 12|Hello 12 17|Ġthere 17 23")]
    [InlineData(false, true, "Hello there       dear", "Hello 0 5|Ġthere 5 11|ĠĠĠĠĠĠ 11 17|Ġdear 17 22")]
    [InlineData(false, true, "i⭢j", "i 0 1|âŃ¢ 1 2|j 2 3")]
    [InlineData(false, false, "i⭢j", "iâŃ¢j 0 3")]
    public void Byte_level_heeds_its_prefix_and_its_pattern(bool prefix, bool pattern, string text, string words)
        => WordTokenizer.Check(Bytes(prefix, pattern), text, words);

    [Theory]
    [InlineData("""{"type": "ByteLevel", "trim_offsets": false, "add_prefix_space": false}""", "ĠĠĠĠHelloĠĠ 0 11|ĠĠHello 12 19|HelloĠĠ 20 27|ĠĠĠĠ 28 32")]
    [InlineData("""{"type": "ByteLevel", "trim_offsets": true, "add_prefix_space": false}""", "ĠĠĠĠHelloĠĠ 4 9|ĠĠHello 14 19|HelloĠĠ 20 25|ĠĠĠĠ 32 32")]
    [InlineData("""{"type": "ByteLevel", "trim_offsets": true, "add_prefix_space": true}""", "ĠĠĠĠHelloĠĠ 4 9|ĠĠHello 14 19|HelloĠĠ 20 25|ĠĠĠĠ 32 32")]
    public void Trimmed_offsets_leave_a_words_own_white_space_out(string post, string words)
        => WordTokenizer.Check(Sequence(Split("""{"String": "|"}""", "Removed"), Bytes(prefix: false, pattern: false)), "    Hello  |  Hello|Hello  |    ", words, post);

    [Theory]
    [InlineData(false, "ĠHello 1 6|Ġmy 7 9")]
    [InlineData(true, "ĠHello 0 6|Ġmy 7 9")]
    public void Trimmed_offsets_keep_the_one_space_that_may_have_been_put_first(bool prefix, string words)
        => WordTokenizer.Check(Bytes(prefix, pattern: true), " Hello my", words, $$"""{"type": "ByteLevel", "trim_offsets": true, "add_prefix_space": {{(prefix ? "true" : "false")}}}""");

    [Fact]
    public void A_sequence_hands_each_steps_words_to_the_next()
        => WordTokenizer.Check(
            Sequence(Split("""{"String": " "}""", "MergedWithNext"), """{"type": "Punctuation"}""", Sequence("""{"type": "Digits", "individual_digits": true}""", Bytes(prefix: false, pattern: false))),
            "ab 12,é",
            "ab 0 2|Ġ 2 3|1 3 4|2 4 5|, 5 6|Ã© 6 7");

    static string Split(string pattern, string behaviour, bool invert = false)
        => $$"""{"type": "Split", "pattern": {{pattern}}, "behavior": "{{behaviour}}", "invert": {{(invert ? "true" : "false")}}}""";

    static string Bytes(bool prefix, bool pattern)
        => $$"""{"type": "ByteLevel", "add_prefix_space": {{(prefix ? "true" : "false")}}, "trim_offsets": true, "use_regex": {{(pattern ? "true" : "false")}}}""";

    static string Sequence(params string[] steps) => $$"""{"type": "Sequence", "pretokenizers": [{{string.Join(", ", steps)}}]}""";
}
